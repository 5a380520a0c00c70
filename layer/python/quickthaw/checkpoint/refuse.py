"""What a function holds that no snapshot can give back, named before anything is dumped.

Read from /proc of the frozen process, from its sockets' own answers, and from
the sandbox it is in.  Each finding names the descriptor, thread, process or
mapping, the Python object that holds it where the frozen process could tell
(`quickthaw.runtime.holders`), and what to do about it.  CRIU would refuse
most of it too, later and in its own words; some of it CRIU would dump and the
thawed function would miss (files of this machine's /tmp).

Some findings count for the criu engine only: the native engine makes what lay
in /tmp again before it opens or maps it.  They refuse a snapshot that has no
native plan.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from quickthaw import names
from quickthaw.checkpoint import sockets
from quickthaw.checkpoint.kinds import KINDS
from quickthaw.errors import CannotFreeze
from quickthaw.sandbox import procfs

_OURS = {0, 1, 2, names.THAW_FD, names.WOKE_FD, names.TELEMETRY_FD}
_RESTORABLE = (
    "anon_inode:[eventfd]",
    "anon_inode:[eventpoll]",
    "anon_inode:[timerfd]",
    "anon_inode:[signalfd]",
)
_WATCHES = ("anon_inode:inotify", "anon_inode:[fanotify]")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/full")
_LAZY = "Open it in the handler on first use, or close it in a hook registered with register_before_snapshot."
_NO_RING = (
    "Lambda refuses io_uring, and libraries then do without: freeze where it is refused too, "
    "in a container with Docker's own seccomp profile or after `sysctl kernel.io_uring_disabled=2`."
)
_RING = "anon_inode:[io_uring]"
_HELPERS = (  # multiprocessing's own processes, by what stands in their command line
    ("multiprocessing.resource_tracker", "multiprocessing's resource tracker"),
    ("multiprocessing.forkserver", "multiprocessing's fork server"),
    ("multiprocessing.spawn", "a worker of multiprocessing"),
)
_IPC = {
    "shmid": "shared memory",
    "semid": "semaphores",
    "msqid": "message queue",
}  # headings of /proc/sysvipc
_ACCESS = 0o3  # of the flags in fdinfo, which are octal


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """One thing that cannot be frozen.

    Attributes:
        kind: of `kinds.KINDS`.
        what: names it: "descriptor 7: a TCP socket connected, 10.0.0.2:5000 to 10.0.0.1:443".
        remedy: what the user can do.
        native: the native engine can give it back all the same.
        key: "descriptor", "process" or "address", and the number by which the function knows it.
        host_pid: of a process, as this process sees it.
    """

    kind: str
    what: str
    remedy: str
    native: bool = False
    key: tuple[str, int] | None = None
    host_pid: int | None = None


def refusals(pid: int, *, inside: Collection[int] = (), tables: str = "") -> list[Refusal]:
    """Everything that stands against a snapshot of a process.

    Args:
        pid: as this process sees it; the process must sit at the freeze point.
        inside: every process of its sandbox, as this process sees them.
        tables: /proc/sysvipc/{shm,sem,msg} of its sandbox, one after another.

    Raises:
        OSError: the process is gone or not ours to look at.
    """
    proc = Path(f"/proc/{pid}")
    return [
        *_descriptors(pid), *_processes(proc, {*inside} - {pid}), *_tracers(proc), *_mappings(proc),
        *_ipc(tables),
    ]  # fmt: skip


def enforce(
    found: Iterable[Refusal],
    *,
    why: str = "",
    allow: Collection[str] = (),
    holders: Mapping[tuple[str, int], str] | None = None,
) -> None:
    """Ends a checkpoint that has findings.

    Args:
        found: the findings.
        why: goes behind "cannot be frozen".
        allow: kinds that the user took upon themselves.
        holders: by key, the Python object that holds it.

    Raises:
        CannotFreeze: there are some that are not allowed; all are named.
    """
    lines = []
    for one in found:
        if one.kind in allow:
            continue
        holder = (holders or {}).get(one.key) if one.key is not None else None
        lines.append(f"  {one.what}" + (f", held by {holder}" if holder else ""))
        lines.append(f"      {one.remedy}")
        instead = KINDS[one.kind].instead
        if instead:
            lines.append(f"      Or take it upon yourself with --allow {one.kind}: {instead}.")
    if lines:
        raise CannotFreeze(
            f"this function cannot be frozen{why}:\n" + "\n".join(lines),
            hint="The old snapshot, if there is one, is unchanged.",
        )


def _descriptors(pid: int) -> list[Refusal]:
    proc = Path(f"/proc/{pid}")
    found = []
    links = {int(entry.name): os.readlink(entry) for entry in (proc / "fd").iterdir()}
    own = {int(link[8:-1]) for link in links.values() if link.startswith("socket:[")}
    ends: dict[str, set[int]] = {}  # access modes by pipe
    for fd, link in links.items():
        if link.startswith("pipe:"):
            ends.setdefault(link, set()).add(_access(proc, fd))
    for fd, link in sorted(links.items()):
        if fd in _OURS:
            continue
        if link.startswith("socket:["):
            judged = sockets.describe(pid, fd, own)
        elif link.startswith("pipe:"):
            whole = len(ends[link]) > 1 or os.O_RDWR in ends[link]
            judged = None if whole else ("pipes", f"{link}, whose other end is closed or in another process")
        else:
            judged = _file(proc, fd, link)
        if judged:
            kind, what = judged
            remedy = _NO_RING if link == _RING else _remedy(kind)
            found.append(
                Refusal(
                    kind=kind,
                    what=f"descriptor {fd}: {what}",
                    remedy=remedy,
                    native=kind == "tmp",
                    key=("descriptor", fd),
                )
            )
    return found


def _access(proc: Path, fd: int) -> int:
    flags = re.search(r"^flags:\s*([0-7]+)", (proc / "fdinfo" / str(fd)).read_text(), re.M)
    return int(flags.group(1), 8) & _ACCESS if flags else os.O_RDONLY


def _remedy(kind: str) -> str:
    if kind == "pipes":
        return "Close it, or end that process first."
    if kind == "tmp":
        return "What is in /tmp now is not there after a thaw: " + _LAZY[0].lower() + _LAZY[1:]
    return _LAZY


def _file(proc: Path, fd: int, link: str) -> tuple[str, str] | None:
    """Kind and name of an open file that cannot be opened again."""
    if link.startswith("anon_inode:"):
        if (
            link == "anon_inode:[eventfd]"
            and "eventfd-semaphore: 1" in (proc / "fdinfo" / str(fd)).read_text()
        ):
            return "kernel-objects", "an eventfd that counts as a semaphore, which CRIU's images do not tell"
        if link in _RESTORABLE:
            return None
        kind = "watches" if link in _WATCHES else "kernel-objects"
        return kind, f"{link}, which cannot be restored"
    if link.startswith("/memfd:"):
        return None
    if link.endswith(" (deleted)"):
        if link.startswith("/tmp/"):
            return None  # CRIU keeps the contents
        return "kernel-objects", f"the deleted file {link.removesuffix(' (deleted)')}"
    judged = _path(link, "open")
    if judged is None and not _is_that_file(proc, fd, link):
        return "ipc" if link.count("/") == 1 else "kernel-objects", f"{link}, which is no file of that name"
    return judged


def _is_that_file(proc: Path, fd: int, link: str) -> bool:
    """A POSIX message queue, for one, has a link like a file in the root directory."""
    try:
        named, opened = os.stat(f"{proc}/root{link}"), os.stat(proc / "fd" / str(fd))
    except OSError:
        return False
    return os.path.samestat(named, opened)


def _path(path: str, how: str) -> tuple[str, str] | None:
    if path.startswith(("/tmp/", "/dev/shm/")):
        return "tmp", f"{path}, {how}, lies in this machine's {path.split('/')[1]} only"
    if path.startswith("/dev/") and path not in _DEVICES:
        return "devices", f"the device {path}, {how}"
    return None


def _processes(proc: Path, others: Collection[int]) -> list[Refusal]:
    """Children, zombies too, and whatever else the function has started and left in its sandbox."""
    children = {int(child) for _, children in _of_each_thread(proc, "children") for child in children.split()}
    found = []
    for host_pid in sorted(children | {*others}):
        try:
            command = (
                Path(f"/proc/{host_pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            )
            inner = procfs.inner_pid(host_pid)
        except OSError:
            continue
        name = "child process" if host_pid in children else "process, started by this function and left,"
        what = command.strip() or "ended, but nobody waited for it"
        what = next((called for mark, called in _HELPERS if mark in command), what)
        found.append(
            Refusal(
                kind="children",
                what=f"{name} {inner}: {what}",
                remedy="End it and wait for it before the freeze; start it in the handler on first use.",
                key=("process", inner),
                host_pid=host_pid,
            )
        )
    return found


def _of_each_thread(proc: Path, name: str) -> Iterator[tuple[str, str]]:
    """A file of each thread, by the thread's id; threads may end while we look."""
    for task in (proc / "task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            yield task.name, (task / name).read_text()


def threads(proc: Path) -> Iterator[tuple[str, str, str]]:
    """Id, name and status (proc(5)) of each thread."""
    for thread, status in _of_each_thread(proc, "status"):
        yield thread, status.partition("\n")[0].removeprefix("Name:").strip(), status


def _tracers(proc: Path) -> list[Refusal]:
    found = []
    for thread, name, status in threads(proc):
        tracer = re.search(r"^TracerPid:\s*(\d+)", status, re.M)
        if tracer and tracer.group(1) != "0":
            found.append(
                Refusal(
                    kind="tracing",
                    what=f"thread {thread} ({name}) is traced by process {tracer.group(1)}",
                    remedy="Detach it.",
                )
            )
    return found


def _mappings(proc: Path) -> list[Refusal]:
    found, seen = [], set()
    for line in (proc / "maps").read_text().splitlines():
        fields = line.split(None, 5)
        path = fields[5] if len(fields) > 5 else ""
        if not path.startswith(("/", "anon_inode:")):
            continue
        written = "w" in fields[1] and fields[1][3] == "s"
        what = None if (path, written) in seen else _mapping(path)
        seen.add((path, written))
        if what:
            temporary = path.startswith("/tmp/")
            start = int(fields[0].partition("-")[0], 16)
            found.append(
                Refusal(
                    kind="mappings",
                    what=f"mapping {fields[0]}: {what}",
                    remedy=_remedy("tmp") if temporary else _LAZY,
                    native=temporary and not written,
                    key=("address", start),
                )
            )
    return found


def _mapping(path: str) -> str | None:
    if path.startswith("/SYSV"):
        return f"System V shared memory {path.removesuffix(' (deleted)')}"
    if path.startswith("/anon_hugepage"):
        return "huge pages of hugetlbfs"
    if path.startswith("/secretmem"):
        return "memory that nobody but the function may read (memfd_secret)"
    if path.startswith("/[aio]"):
        return "a ring for asynchronous I/O (io_setup)"
    if path.startswith("anon_inode:"):
        return f"{path}, which cannot be mapped again"
    if path.startswith(("/dev/zero", "/memfd:")):
        return None  # with one process, shared memory is its own
    if path.endswith(" (deleted)"):
        # Of a file in /tmp the contents are in the images.
        kept = path.startswith("/tmp/")
        return None if kept else f"the deleted file {path.removesuffix(' (deleted)')}"
    judged = _path(path, "mapped")
    return judged[1] if judged else None


def _ipc(tables: str) -> list[Refusal]:
    """System V objects of the sandbox's own namespace: who but the function should have made them?"""
    found, name, attached = [], "", None
    for line in tables.splitlines():
        fields = line.split()
        if "key" in fields:
            name = _IPC[fields[1]]
            attached = fields.index("nattch") if "nattch" in fields else None
        elif attached is None or fields[attached] == "0":  # a mapping that is refused already
            found.append(
                Refusal(
                    kind="ipc",
                    what=f"System V {name}, id {fields[1]}",
                    remedy="Make it in the handler on first use, and remove it before the freeze.",
                )
            )
    return found
