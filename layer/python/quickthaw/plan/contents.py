"""The bytes of any page of the frozen address space: dumped ones, file pages, zeros."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from quickthaw.criuimg import PageStore, Process
from quickthaw.criuimg import records as r
from quickthaw.names import PAGE_SIZE
from quickthaw.plan.descriptors import maps_object, shared_bytes


class Contents:
    """Reads pages by number; file pages are read from the mapped files on this machine."""

    def __init__(self, process: Process, store: PageStore, resolve: Callable[[str], Path]) -> None:
        self._process = process
        self._store = store
        self._resolve = resolve
        self._vmas = sorted(
            (vma for vma in process.mm.vmas if not vma.status & r.AREA_VSYSCALL), key=lambda vma: vma.start
        )
        self._starts = [vma.start for vma in self._vmas]
        self._files: dict[str, BinaryIO] = {}
        self._segments: dict[int, bytes] = {}  # shared memory and files without a name, by segment or file id

    def page(self, page: int) -> bytes:
        """4096 bytes."""
        if page in self._store:
            return bytes(self._store.page(page))
        address = page * PAGE_SIZE
        vma = self._vmas[bisect_right(self._starts, address) - 1]
        if vma.status & r.ANON_SHARED or maps_object(self._process, vma):
            at = vma.pgoff + address - vma.start
            return self._segment(vma)[at : at + PAGE_SIZE].ljust(PAGE_SIZE, b"\0")
        if not vma.status & (r.FILE_PRIVATE | r.FILE_SHARED):
            return bytes(PAGE_SIZE)
        file = self._file(self._process.path(vma.shmid))
        file.seek(vma.pgoff + address - vma.start)
        return file.read(PAGE_SIZE).ljust(PAGE_SIZE, b"\0")

    def pages(self, first: int, last: int) -> bytes:
        """Consecutive pages, [first, last)."""
        return b"".join(self.page(page) for page in range(first, last))

    def shared_pages(self) -> frozenset[int]:
        """Pages of shared anonymous memory, and of files without a name, that hold anything but zeros."""
        found: set[int] = set()
        zero = bytes(PAGE_SIZE)
        for vma in self._vmas:
            if vma.status & r.ANON_SHARED or maps_object(self._process, vma):
                pages = range(vma.start // PAGE_SIZE, vma.end // PAGE_SIZE)
                found.update(page for page in pages if self.page(page) != zero)
        return frozenset(found)

    def _segment(self, vma: r.Vma) -> bytes:
        if vma.shmid not in self._segments:
            self._segments[vma.shmid] = self._read_segment(vma)
        return self._segments[vma.shmid]

    def _read_segment(self, vma: r.Vma) -> bytes:
        if vma.status & r.ANON_SHARED:
            users = [v for v in self._vmas if v.status & r.ANON_SHARED and v.shmid == vma.shmid]
            return shared_bytes(self._process, vma.shmid, max(v.pgoff + v.end - v.start for v in users))
        file = self._process.files[vma.shmid]
        if file.memfd is not None:
            inode = self._process.memfds[file.memfd.inode_id]
            return shared_bytes(self._process, inode.shmid, inode.size)
        return self._process.ghosts[self._process.remaps[vma.shmid].remap_id].data

    def _file(self, path: str) -> BinaryIO:
        if path not in self._files:
            self._files[path] = self._resolve(path).open("rb")
        return self._files[path]

    def close(self) -> None:
        """Close the mapped files."""
        for file in self._files.values():
            file.close()
