"""What a snapshot holds, read from its manifest and from CRIU's images."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quickthaw import criuimg, names
from quickthaw.checkpoint import verify
from quickthaw.criuimg import records
from quickthaw.snapshot import manifest

_OURS = {
    names.THAW_FD: "thaw pipe",
    names.WOKE_FD: "woke pipe",
    names.TELEMETRY_FD: "telemetry placeholder",
}


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A snapshot as `inspect` shows it.

    Attributes:
        snapshot: the directory.
        id: its name in logs.
        created: ISO 8601, UTC.
        handler: `module.function`.
        python: version of the frozen interpreter.
        criu: version that dumped.
        kernel: release and version it was dumped on.
        cold_init_s: what a thaw saves, seconds.
        size: bytes of all files.
        pages: the manifest's record of each page file, with its number of blocks.
        mappings: how many of each kind, and their bytes.
        mapped_files: how many files are mapped, and their bytes.
        threads: names of the threads.
        descriptors: number and what it is.
        hooks: how many ran before, how many run after.
        env_names: variables seen at the checkpoint.
        kernel_cache: what CRIU found out about the kernel is in the snapshot.
        criu_lacks: why the criu engine starts cold; empty where it thaws.
        obstacles: what would stop a thaw on this machine.
    """

    snapshot: str
    id: str
    created: str
    handler: str
    python: str
    criu: str
    kernel: str
    cold_init_s: float
    size: int
    pages: dict[str, dict[str, Any]]
    mappings: dict[str, tuple[int, int]]
    mapped_files: tuple[int, int]
    threads: tuple[str, ...]
    descriptors: tuple[tuple[int, str], ...]
    hooks: dict[str, int]
    env_names: tuple[str, ...]
    kernel_cache: bool
    criu_lacks: tuple[str, ...]
    obstacles: tuple[str, ...]


def look(snapshot: Path) -> Seen:
    """Reads a snapshot.

    Raises:
        BadSnapshot: no manifest, or damaged images.
    """
    found = manifest.read(str(snapshot))
    process = criuimg.load(snapshot / names.IMAGES)
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for vma in process.mm.vmas:
        kind = _kind(vma)
        counts[kind] += 1
        sizes[kind] += vma.end - vma.start
    findings = verify.verify(snapshot)
    return Seen(
        snapshot=str(snapshot),
        id=found.id,
        created=found.body["created"],
        handler=found.handler,
        python=found.body["python"]["version"],
        criu=found.criu_version,
        kernel=found.kernel,
        cold_init_s=found.cold_init_s,
        size=sum(entry["size"] for entry in found.files),
        pages={number: {**pages, "blocks": _blocks(pages)} for number, pages in found.pages.items()},
        mappings={kind: (count, sizes[kind]) for kind, count in counts.most_common()},
        mapped_files=(len(found.mapped), sum(entry["size"] for entry in found.mapped)),
        threads=tuple(_thread_name(thread, process) for thread in process.threads),
        descriptors=tuple((fd.fd, _descriptor(process, fd)) for fd in process.fds),
        hooks=found.body["function"]["hooks"],
        env_names=tuple(found.body["function"]["env_names"]),
        kernel_cache="criu_cache" in found.body,
        criu_lacks=verify.criu_lacks(found),
        obstacles=tuple(f"{one.what}: {one.problem}" for one in findings if one.problem),
    )


def as_json(seen: Seen) -> dict[str, Any]:
    """The same as a JSON document."""
    return asdict(seen)


def _blocks(pages: dict[str, Any]) -> int | None:
    size = pages["block_size"]
    return -(-pages["content_size"] // size) if size else None


def _kind(vma: records.Vma) -> str:
    if vma.status & records.FILE_PRIVATE:
        return "file, private"
    if vma.status & records.FILE_SHARED:
        return "file, shared"
    return "anonymous"


def _thread_name(thread: criuimg.Thread, process: criuimg.Process) -> str:
    return f"{thread.tid} {thread.core.comm or process.task.comm}"


def _descriptor(process: criuimg.Process, fd: records.Fd) -> str:
    if fd.fd in _OURS:
        return _OURS[fd.fd]
    file = process.files[fd.id]
    return process.path(fd.id) if file.reg is not None else records.FdType(file.type).name.lower()
