"""What is dumped, and then not given back as it was; named, so that a thaw is declined, not wrong.

What the criu engine lacks the native engine gives back.  Where there is no native plan, a
function that holds such a thing is refused; where there is one, the manifest
says so (``process.criu_lacks``) and the bootstrap starts cold before it
starts CRIU.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from quickthaw import criuimg
from quickthaw.criuimg import records
from quickthaw.errors import CannotFreeze
from quickthaw.plan.left import Entry

_SQLITE = b"SQLite format 3\0"  # how a database file begins, sqlite.org/fileformat.html


def of_criu(images: Path, left: Sequence[Entry]) -> tuple[str, ...]:
    """Each thing by name; empty when CRIU gives back everything.

    Args:
        images: CRIU's images.
        left: what the import left in /tmp.

    Raises:
        BadSnapshot: the images are damaged.
    """
    found = [f"{entry.path}, which the import left in /tmp" for entry in left[:1]]
    process = criuimg.load(images)
    for fd in process.fds:
        timer = process.files[fd.id].tfd
        if timer is not None and _rang(timer):
            found.append(f"descriptor {fd.fd}, a timerfd that has rung and would ring again")
    return tuple(found)


def _rang(timer: records.TimerFd) -> bool:
    """Its time was over and not yet read: no time is left, which CRIU 4.1 restores as "disarmed"."""
    return not timer.vsec and not timer.vnsec and bool(timer.isec or timer.insec)


def enforce(lacks: Sequence[str], *, why: str) -> None:
    """Refuses a snapshot that only CRIU could thaw.

    Raises:
        CannotFreeze: CRIU lacks something.
    """
    if lacks:
        lines = "".join(f"\n  {what}" for what in lacks)
        raise CannotFreeze(
            f"this function cannot be frozen for the criu engine alone ({why}):{lines}",
            hint="Do it in the handler on first use, or undo it in a before-snapshot hook.",
        )


def enforce_no_database(pid: int) -> None:
    """Refuses an SQLite database in /tmp that is open.

    SQLite knows a file by its inode, and shares locks between the connections of one process by it
    (POSIX locks do not hold against their own process).  After a thaw the file has another inode: a new
    connection would not see what the old one has locked, and could write at the same time.

    Raises:
        CannotFreeze: there is one.
        OSError: the process is gone.
    """
    for entry in sorted(Path(f"/proc/{pid}/fd").iterdir(), key=lambda path: int(path.name)):
        path = os.readlink(entry)
        if not path.startswith("/tmp/") or path.endswith(" (deleted)") or not entry.is_file():
            continue
        with entry.open("rb") as file:
            if file.read(len(_SQLITE)) == _SQLITE:
                what = f"descriptor {entry.name}: {path}, an open SQLite database"
                raise CannotFreeze(
                    f"this function cannot be frozen:\n  {what}",
                    hint="Close it in a before-snapshot hook, and connect again in an after-restore hook.",
                )


def enforce_streams(pid: int, inodes: Mapping[int, int]) -> None:
    """Refuses a function whose standard streams are not those that it was started with.

    A thawed process has the streams of its new environment, whatever the import made of the old ones.

    Args:
        pid: as for the others.
        inodes: of the pipes behind standard output and standard error.

    Raises:
        CannotFreeze: one is closed or goes elsewhere.
        OSError: the process is gone.
    """
    for number, name in ((1, "standard output"), (2, "standard error")):
        path = Path(f"/proc/{pid}/fd/{number}")
        if not path.is_symlink() or os.readlink(path) != f"pipe:[{inodes[number]}]":
            raise CannotFreeze(
                f"this function cannot be frozen:\n  descriptor {number} is not the {name} that it was given",
                hint="Redirect it in the handler, or in a hook registered with register_after_restore.",
            )


def enforce_no_filter(pid: int) -> None:
    """Refuses a function that has put a filter over its own system calls.

    The native restorer would come back without it, CRIU may not put one on.

    Raises:
        CannotFreeze: there is one.
        OSError: the process is gone.
    """
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            status = (task / "status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # a thread that has ended meanwhile
        if re.search(r"^Seccomp:\s*[1-9]", status, re.M):
            raise CannotFreeze(
                f"this function cannot be frozen:\n  thread {task.name} has a system call filter (seccomp)",
                hint="Lambda refuses filters anyway; put it on in the handler where you need it.",
            )
