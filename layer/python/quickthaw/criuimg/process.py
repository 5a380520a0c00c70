"""A frozen process as CRIU's image directory describes it: one record, loaded at once.

`load` reads the small images only (a few hundred KB); page contents stay in
their file and are reached through `pages.PageStore`.  Reading and judging are
kept apart: `load` accepts whatever CRIU writes, ``quickthaw.plan.refuse``
says what cannot be thawed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from quickthaw.criuimg import records as r
from quickthaw.criuimg.image import ImageReader, read_all, read_one
from quickthaw.errors import BadSnapshot

Record = TypeVar("Record")
MACHINE_X86_64: Final = 1  # core_entry.march


@dataclass(frozen=True, kw_only=True)
class Thread:
    """One thread of the process."""

    tid: int
    info: r.ThreadInfo
    core: r.ThreadCore


@dataclass(frozen=True, kw_only=True)
class PageMap:
    """Which pages one ``pages-<id>.img`` holds, in file order."""

    pages_id: int
    runs: tuple[r.PageRun, ...]

    @property
    def pages(self) -> int:
        """Number of pages whose contents are in the file."""
        return sum(run.pages for run in self.runs if not run.flags or run.flags & r.PAGE_PRESENT)


@dataclass(frozen=True, kw_only=True)
class PipeData:
    """Unread bytes of a pipe or FIFO."""

    data: bytes
    capacity: int | None  # bytes


@dataclass(frozen=True, kw_only=True)
class Packet:
    """One unread packet of a unix socket."""

    data: bytes
    rights: tuple[int, ...]  # open files under way with it


@dataclass(frozen=True, kw_only=True)
class Ghost:
    """An unlinked file: its attributes and contents."""

    mode: int
    data: bytes


@dataclass(frozen=True, kw_only=True)
class Process:
    """Everything that the images say about the process but its page contents."""

    directory: Path
    inventory: r.Inventory
    tree: tuple[r.Task, ...]  # root task first; more than one: child processes
    pid: int
    task: r.TaskCore
    ids: r.KernelIds
    threads: tuple[Thread, ...]  # leader first
    mm: r.Mm
    pagemap: PageMap
    files: Mapping[int, r.File]
    fds: tuple[r.Fd, ...]
    fs: r.Fs
    pipe_data: Mapping[int, PipeData] = field(default_factory=dict)  # by pipe id
    fifo_data: Mapping[int, PipeData] = field(default_factory=dict)
    packets: Mapping[int, tuple[Packet, ...]] = field(default_factory=dict)  # by socket file id
    memfds: Mapping[int, r.MemFdInode] = field(default_factory=dict)  # by inode id
    shmem: Mapping[int, PageMap] = field(default_factory=dict)  # by shared segment id
    remaps: Mapping[int, r.Remap] = field(default_factory=dict)  # by file id
    ghosts: Mapping[int, Ghost] = field(default_factory=dict)  # by remap id
    locks: tuple[r.FileLock, ...] = ()

    def path(self, file_id: int) -> str:
        """Path of a regular file; raises KeyError when that file is none."""
        reg = self.files[file_id].reg
        if reg is None:
            raise KeyError(file_id)
        return reg.name

    def mapped_paths(self) -> tuple[str, ...]:
        """Every file that the address space maps and that has a name, sorted, each once."""
        kinds = r.FILE_PRIVATE | r.FILE_SHARED
        ids = {vma.shmid for vma in self.mm.vmas if vma.status & kinds and not vma.status & r.AREA_MEMFD}
        ids -= self.remaps.keys()
        return tuple(sorted({self.path(file_id) for file_id in ids}))


def load(directory: Path) -> Process:
    """Read the images of one dump.

    Args:
        directory: what was given to ``criu dump -D``.

    Raises:
        BadSnapshot: an image is missing, cut off, or of another architecture.
    """
    tree = read_all(directory / "pstree.img", r.Task)
    if not tree:
        raise BadSnapshot(f"{directory / 'pstree.img'} names no process", hint="make the snapshot again")
    root = tree[0]
    leader = read_one(directory / f"core-{root.pid}.img", r.Core)
    if leader.tc is None or leader.mtype != MACHINE_X86_64:
        raise BadSnapshot(
            f"{directory} holds no x86-64 process", hint="snapshots are made and thawed on x86-64"
        )
    kernel_ids = leader.ids or read_one(directory / f"ids-{root.pid}.img", r.KernelIds)
    files = {file.id: file for file in read_all(directory / "files.img", r.File)}
    return Process(
        directory=directory,
        inventory=read_one(directory / "inventory.img", r.Inventory),
        tree=tree,
        pid=root.pid,
        task=leader.tc,
        ids=kernel_ids,
        threads=_threads(directory, root),
        mm=read_one(directory / f"mm-{root.pid}.img", r.Mm),
        pagemap=_pagemap(directory / f"pagemap-{root.pid}.img"),
        files=files,
        fds=read_all(directory / f"fdinfo-{kernel_ids.files_id}.img", r.Fd),
        fs=read_one(directory / f"fs-{root.pid}.img", r.Fs),
        pipe_data=_pipe_data(directory / "pipes-data.img"),
        fifo_data=_pipe_data(directory / "fifo-data.img"),
        packets=_packets(directory / "sk-queues.img"),
        memfds={inode.inode_id: inode for inode in _optional(directory / "memfd.img", r.MemFdInode)},
        shmem={
            int(path.stem.rpartition("-")[2]): _pagemap(path)
            for path in directory.glob("pagemap-shmem-*.img")
        },
        remaps={remap.orig_id: remap for remap in _optional(directory / "remap-fpath.img", r.Remap)},
        ghosts={
            int(path.stem.rpartition("-")[2], 16): _ghost(path) for path in directory.glob("ghost-file-*.img")
        },
        locks=_optional(directory / "filelocks.img", r.FileLock),
    )


def _optional(path: Path, kind: type[Record]) -> tuple[Record, ...]:
    return read_all(path, kind) if path.exists() else ()


def _threads(directory: Path, root: r.Task) -> tuple[Thread, ...]:
    threads = []
    for tid in sorted(root.threads or (root.pid,), key=lambda tid: tid != root.pid):
        core = read_one(directory / f"core-{tid}.img", r.Core)
        if core.thread_info is None or core.thread_core is None:
            raise BadSnapshot(f"core-{tid}.img describes no x86-64 thread", hint="make the snapshot again")
        threads.append(Thread(tid=tid, info=core.thread_info, core=core.thread_core))
    return tuple(threads)


def _pagemap(path: Path) -> PageMap:
    reader = ImageReader(path)
    head = reader.record(r.PagesHead)
    runs = []
    while reader.more():
        runs.append(reader.record(r.PageRun))
    return PageMap(pages_id=head.pages_id, runs=tuple(runs))


def _pipe_data(path: Path) -> dict[int, PipeData]:
    found: dict[int, PipeData] = {}
    if not path.exists():
        return found
    reader = ImageReader(path)
    while reader.more():
        head = reader.record(r.PipeDataHead)
        found[head.pipe_id] = PipeData(data=reader.raw(head.bytes), capacity=head.size)
    return found


def _packets(path: Path) -> dict[int, tuple[Packet, ...]]:
    found: dict[int, tuple[Packet, ...]] = {}
    if not path.exists():
        return found
    reader = ImageReader(path)
    while reader.more():
        head = reader.record(r.PacketHead)
        rights = tuple(file for scm in head.scm for file in scm.rights)
        packet = Packet(data=reader.raw(head.length), rights=rights)
        found[head.id_for] = (*found.get(head.id_for, ()), packet)
    return found


def _ghost(path: Path) -> Ghost:
    reader = ImageReader(path)
    head = reader.record(r.GhostHead)
    if not head.chunks:
        return Ghost(mode=head.mode, data=reader.rest())
    data = bytearray(head.size or 0)
    while reader.more():
        chunk = reader.record(r.GhostChunk)
        data[chunk.off : chunk.off + chunk.len] = reader.raw(chunk.len)
    return Ghost(mode=head.mode, data=bytes(data))
