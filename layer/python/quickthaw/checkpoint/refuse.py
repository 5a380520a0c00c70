"""What a function holds that no snapshot can give back, named before anything is dumped.

Read from /proc of the frozen process.  Each finding names the descriptor,
thread, child or mapping and says what to do about it.  CRIU would refuse most
of it too, later and in its own words; some of it CRIU would dump and the
thawed function would miss (files of this machine's /tmp).

Some findings count for the criu engine only: the native engine makes what lay
in /tmp again before it opens it.  They refuse a snapshot that has no native plan.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from quickthaw import names
from quickthaw.checkpoint import sockets
from quickthaw.errors import CannotFreeze

_OURS = {0, 1, 2, names.THAW_FD, names.WOKE_FD, names.TELEMETRY_FD}
_RESTORABLE = (
    "anon_inode:[eventfd]",
    "anon_inode:[eventpoll]",
    "anon_inode:[timerfd]",
    "anon_inode:[signalfd]",
)
_LAZY = "Open it in the handler on first use, or close it in a hook registered with register_before_snapshot."
_NO_RING = (
    "Lambda refuses io_uring, and libuv (uvloop) then does without: freeze where it is refused too, "
    "in a container with Docker's own seccomp profile or after `sysctl kernel.io_uring_disabled=2`."
)


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """One thing that cannot be frozen.

    Attributes:
        what: names it: "descriptor 7: TCP connection to 10.0.0.1:443".
        remedy: what the user can do.
        native: the native engine can give it back all the same.
    """

    what: str
    remedy: str
    native: bool = False


def refusals(pid: int) -> list[Refusal]:
    """Everything that stands against a snapshot of a process.

    Args:
        pid: as this process sees it; the process must sit at the freeze point.

    Raises:
        OSError: the process is gone or not ours to look at.
    """
    proc = Path(f"/proc/{pid}")
    return [*_descriptors(proc), *_children(proc), *_threads(proc), *_mappings(proc)]


def enforce(found: Iterable[Refusal], *, why: str = "") -> None:
    """Ends a checkpoint that has findings.

    Raises:
        CannotFreeze: there are some; all are named.
    """
    lines = [f"  {one.what}\n      {one.remedy}" for one in found]
    if lines:
        raise CannotFreeze(
            f"this function cannot be frozen{why}:\n" + "\n".join(lines),
            hint="The old snapshot, if there is one, is unchanged.",
        )


def _descriptors(proc: Path) -> list[Refusal]:
    found = []
    pipe_ends: dict[str, int] = {}
    links = {int(entry.name): os.readlink(entry) for entry in (proc / "fd").iterdir()}
    for link in links.values():
        if link.startswith("pipe:"):
            pipe_ends[link] = pipe_ends.get(link, 0) + 1
    for fd, link in sorted(links.items()):
        if fd in _OURS:
            continue
        what, remedy = _descriptor(proc, fd, link, pipe_ends)
        if what:
            native = link.startswith("/tmp/")
            found.append(Refusal(what=f"descriptor {fd}: {what}", remedy=remedy, native=native))
    return found


def _descriptor(proc: Path, fd: int, link: str, pipe_ends: dict[str, int]) -> tuple[str, str]:
    if link.startswith("socket:["):
        return sockets.impossible(int(proc.name), fd), _LAZY
    if link.startswith("pipe:"):
        if pipe_ends[link] == 1:
            return f"{link}, whose other end is in another process", "Close it, or end that process first."
        return "", ""
    if link.startswith("anon_inode:"):
        if (
            link == "anon_inode:[eventfd]"
            and "eventfd-semaphore: 1" in (proc / "fdinfo" / str(fd)).read_text()
        ):
            return "an eventfd that counts as a semaphore, which CRIU's images do not tell", _LAZY
        if link in _RESTORABLE:
            return "", ""
        remedy = _NO_RING if link == "anon_inode:[io_uring]" else _LAZY
        return f"{link}, which cannot be restored", remedy
    if link.startswith("/memfd:"):
        return "", ""
    if link.endswith(" (deleted)"):
        if link.startswith("/tmp/"):
            return "", ""  # CRIU keeps the contents
        return f"the deleted file {link.removesuffix(' (deleted)')}", _LAZY
    return _path(link, "open")


def _path(path: str, how: str) -> tuple[str, str]:
    if path.startswith(("/tmp/", "/dev/shm/")):
        remedy = "What is in /tmp now is not there after a thaw: " + _LAZY[0].lower() + _LAZY[1:]
        return f"{path}, {how}, lies in this machine's {path.split('/')[1]} only", remedy
    if path.startswith("/dev/") and path not in (
        "/dev/null",
        "/dev/zero",
        "/dev/random",
        "/dev/urandom",
        "/dev/full",
    ):
        return f"the device {path}, {how}", _LAZY
    return "", ""


def _children(proc: Path) -> list[Refusal]:
    found = []
    for task in (proc / "task").iterdir():
        for child in (task / "children").read_text().split():
            try:
                command = (
                    Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
            except OSError:
                continue
            found.append(
                Refusal(
                    what=f"child process {child}: {command.strip() or 'ended, but nobody waited for it'}",
                    remedy="End it and wait for it before the freeze; start it in the handler on first use.",
                )
            )
    return found


def _threads(proc: Path) -> list[Refusal]:
    found = []
    for task in (proc / "task").iterdir():
        status = (task / "status").read_text()
        tracer = re.search(r"^TracerPid:\s*(\d+)", status, re.M)
        name = (task / "comm").read_text().strip()
        if tracer and tracer.group(1) != "0":
            found.append(
                Refusal(
                    what=f"thread {task.name} ({name}) is traced by process {tracer.group(1)}",
                    remedy="Detach it.",
                )
            )
    return found


def _mappings(proc: Path) -> list[Refusal]:
    found, seen = [], set()
    for line in (proc / "maps").read_text().splitlines():
        fields = line.split(None, 5)
        path = fields[5] if len(fields) > 5 else ""
        shared = fields[1][3] == "s"
        if path in seen or not path.startswith("/"):
            continue
        seen.add(path)
        what, remedy = "", _LAZY
        if path.startswith("/SYSV"):
            what = f"System V shared memory {path.removesuffix(' (deleted)')}"
        elif path.startswith("/anon_hugepage"):
            what = "huge pages of hugetlbfs"
        elif path.startswith(("/dev/zero", "/memfd:")):
            continue  # with one process, shared memory is its own
        elif path.endswith(" (deleted)") and path.startswith("/tmp/"):
            continue  # its contents are in the images
        elif path.endswith(" (deleted)"):
            what = f"the deleted file {path.removesuffix(' (deleted)')}"
        else:
            what, remedy = _path(path, "mapped")
        if what:
            native = path.startswith("/tmp/") and not (shared and "w" in fields[1])
            found.append(Refusal(what=f"mapping {fields[0]}: {what}", remedy=remedy, native=native))
    return found
