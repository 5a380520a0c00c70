"""What is dumped, and then not given back as it was; named, so that a thaw is refused or declined, not wrong.

What neither engine gives back is found in /proc of the frozen process, before
the dump, and refused with what `refuse` finds.  What only the criu engine lacks
is known after it.  Where there is no native plan, a function that holds such a
thing is refused; where there is one, the manifest says so
(``process.criu_lacks``) and the bootstrap starts cold before it starts CRIU.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from quickthaw import criuimg
from quickthaw.checkpoint.refuse import Refusal, threads
from quickthaw.criuimg import records
from quickthaw.plan.left import Entry

_SQLITE = b"SQLite format 3\0"  # how a database file begins, sqlite.org/fileformat.html
_LATER = "Do it in the handler on first use, or undo it in a hook registered with register_before_snapshot."


def of_criu(images: Path, left: Sequence[Entry], unreached: Iterable[str] = ()) -> tuple[Refusal, ...]:
    """What CRIU does not give back and the native engine does.

    Args:
        images: CRIU's images.
        left: what the import left in /tmp.
        unreached: files with an OpenSSL of their own, whose generator the wake cannot renew.  It renews
            itself where the pid is another one; CRIU's processes have the pid of the freeze.

    Raises:
        BadSnapshot: the images are damaged.
    """
    found = [_native("tmp", f"{entry.path}, which the import left in /tmp", _LATER) for entry in left[:1]]
    process = criuimg.load(images)
    for fd in process.fds:
        timer = process.files[fd.id].tfd
        if timer is not None and _rang(timer):
            what = f"descriptor {fd.fd}, a timerfd that has rung and would ring again"
            found.append(_native("kernel-objects", what, "Read it before the freeze."))
    for path in unreached:
        what = f"the randomness of the OpenSSL inside {path}, whose generator cannot be renewed"
        found.append(_native("randomness", what, "Import it in the handler on first use."))
    return tuple(found)


def _native(kind: str, what: str, remedy: str) -> Refusal:
    return Refusal(kind=kind, what=what, remedy=remedy, native=True)


def _rang(timer: records.TimerFd) -> bool:
    """Its time was over and not yet read: no time is left, which CRIU 4.1 restores as "disarmed"."""
    return not timer.vsec and not timer.vnsec and bool(timer.isec or timer.insec)


def of_both(pid: int, inodes: Mapping[int, int]) -> list[Refusal]:
    """What neither engine gives back as it was.

    Args:
        pid: as this process sees it; the process must sit at the freeze point.
        inodes: of the pipes behind standard output and standard error.

    Raises:
        OSError: the process is gone.
    """
    return [*_filters(pid), *_databases(pid), *_streams(pid, inodes)]


def _databases(pid: int) -> list[Refusal]:
    """SQLite databases in /tmp that are open.

    SQLite knows a file by its inode, and shares locks between the connections of one process by it
    (POSIX locks do not hold against their own process).  After a thaw the file has another inode: a new
    connection would not see what the old one has locked, and could write at the same time.
    """
    found = []
    for entry in sorted(Path(f"/proc/{pid}/fd").iterdir(), key=lambda path: int(path.name)):
        path = os.readlink(entry)
        if not path.startswith("/tmp/") or path.endswith(" (deleted)") or not entry.is_file():
            continue
        with entry.open("rb") as file:
            if file.read(len(_SQLITE)) == _SQLITE:
                found.append(
                    Refusal(
                        kind="databases",
                        what=f"descriptor {entry.name}: {path}, an open SQLite database",
                        remedy="Close it in a before-snapshot hook, connect again in an after-restore hook.",
                        key=("descriptor", int(entry.name)),
                    )
                )
    return found


def _streams(pid: int, inodes: Mapping[int, int]) -> list[Refusal]:
    """Standard streams that are not those that the function was started with.

    A thawed process has the streams of its new environment, whatever the import made of the old ones.
    """
    found = []
    for number, name in ((1, "standard output"), (2, "standard error")):
        path = Path(f"/proc/{pid}/fd/{number}")
        if not path.is_symlink() or os.readlink(path) != f"pipe:[{inodes[number]}]":
            found.append(
                Refusal(
                    kind="streams",
                    what=f"descriptor {number} is not the {name} that it was given",
                    remedy="Redirect it in the handler, or in a hook registered with register_after_restore.",
                )
            )
    return found


def _filters(pid: int) -> list[Refusal]:
    """Filters that the function has put over its own system calls."""
    found = []
    for thread, name, status in threads(Path(f"/proc/{pid}")):
        if re.search(r"^Seccomp:\s*[1-9]", status, re.M):
            found.append(
                Refusal(
                    kind="filters",
                    what=f"thread {thread} ({name}) has a system call filter (seccomp)",
                    remedy="Lambda refuses filters anyway; put it on in the handler where you need it.",
                )
            )
    return found
