"""Decides for every page of the address space where its contents come from when it is thawed.

Four classes:

FILE   the mapped file itself, as the frozen process had it
ZERO   fresh anonymous memory: never touched, or dumped as zeros
EAGER  anonymous memory, filled from the packed pages before the process runs
LAZY   a private mapping of ``pages.raw``, read by the kernel on first touch

A page range must never be LAZY where MADV_DONTNEED means "zero it": on a
private file mapping that call brings the file's bytes back.  glibc's thread
arenas, jemalloc, mimalloc and tcmalloc rely on zeros there, so their regions
are EAGER in every layout (`unsafe_ranges`).  Safe are the brk heap (shrinking
it unmaps), Python's arenas and malloc's large blocks (both are unmapped, not
advised away) and the private pages of libraries.

Stacks that grow down are EAGER too: the kernel grows only anonymous ones.

Each change of class costs a mapping (about 5 us, and later a VMA), so short
runs between two of the same kind are swallowed (`GAP`).

Hot pages of FILE runs are a second choice (`Area.copies`): where a library is
in the page cache already, its own pages are there for nothing; where it is
not, copies of the hot ones in the packed pages come at once, and the rest of
the library is not read for them.  Libraries are files that are mapped to be
run: of others a function may give pages up by MADV_DONTNEED to read them again
from the file, and where a copy was there would be zeros.
"""

from __future__ import annotations

import enum
import mmap
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from quickthaw.criuimg import PageStore, Process
from quickthaw.criuimg import records as r
from quickthaw.names import PAGE_SIZE
from quickthaw.plan.descriptors import maps_object
from quickthaw.plan.hot import HotSet

GAP: Final = 1  # pages; first answer of the demo: 87 ms without, 77 with 1, 82 with 2, 85 with 4
SHORT_LAZY: Final = 2  # pages; up to here a lazy run costs more to map than to fill, where it can be written
_MAP_GROWSDOWN: Final = 0x100
_MADV_DONTFORK: Final = 10
_ARENA: Final = 64 << 20  # HEAP_MAX_SIZE of glibc on 64 bit: thread arenas are aligned to it
_ARENA_HEAD: Final = 0x100  # struct heap_info and malloc_state lie within this of the arena's start
# Strings that these allocators cannot be linked without.  CPython 3.13 has mimalloc compiled in, but
# only its free-threaded build (or PYTHONMALLOC=mimalloc) uses it.
_ALLOCATORS: Final = (b"<jemalloc>: ", b"mimalloc: ", b"tcmalloc: ")


class Source(enum.IntEnum):
    """Where a page's contents come from."""

    FILE = 0
    ZERO = 1
    EAGER = 2
    LAZY = 3


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive pages of one source, [first, last)."""

    first: int
    last: int
    source: Source


@dataclass(frozen=True, kw_only=True)
class Area:
    """One VMA and its pages by source; `copies`: page ranges [first, last) of FILE runs that are hot."""

    vma: r.Vma
    runs: tuple[Run, ...]
    copies: tuple[tuple[int, int], ...] = ()


def unsafe_ranges(process: Process, store: PageStore, foreign: str | None) -> list[tuple[int, int]]:
    """Address ranges that must not be LAZY, as [start, end).

    Args:
        process: the frozen process.
        store: its pages.
        foreign: from `foreign_allocator`.
    """
    anonymous = [v for v in process.mm.vmas if v.status & r.ANON_PRIVATE and v.prot & mmap.PROT_WRITE]
    ranges = [(vma.start, vma.end) for vma in anonymous if vma.flags & _MAP_GROWSDOWN]
    if foreign is not None:
        return ranges + [(vma.start, vma.end) for vma in anonymous if not vma.status & r.AREA_HEAP]
    heads: set[int] = set()
    for vma in anonymous:
        first = -(-vma.start // _ARENA) * _ARENA
        heads.update(
            at for at in range(first, vma.end, _ARENA) if _word(store, at) - at in range(1, _ARENA_HEAD)
        )
    # Further heaps of an arena point to its first one.
    for vma in anonymous:
        first = -(-vma.start // _ARENA) * _ARENA
        heads.update(
            at for at in range(first, vma.end, _ARENA) if _word(store, at) // _ARENA * _ARENA in heads
        )
    return ranges + [(head, head + _ARENA) for head in sorted(heads)]


def foreign_allocator(process: Process, store: PageStore, resolve: Callable[[str], Path]) -> str | None:
    """The mapped file that brings an allocator of its own; None when there is only glibc's and Python's."""
    if b"PYTHONMALLOC=mimalloc" in _environment(process, store):
        return "PYTHONMALLOC=mimalloc"
    for path in process.mapped_paths():
        name = path.rpartition("/")[2]
        if name.startswith(("python3", "libpython3")):
            if "t" in name.removeprefix("lib").removeprefix("python").partition(".so")[0]:
                return path
            continue
        if ".so" not in name:
            continue
        with (
            resolve(path).open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            if any(content.find(mark) >= 0 for mark in _ALLOCATORS):
                return path
    return None


def _environment(process: Process, store: PageStore) -> bytes:
    first, last = process.mm.env_start // PAGE_SIZE, -(-process.mm.env_end // PAGE_SIZE)
    return b"".join(bytes(store.page(page)) for page in range(first, last) if page in store)


def _word(store: PageStore, address: int) -> int:
    page, at = divmod(address, PAGE_SIZE)
    return int.from_bytes(store.page(page)[at : at + 8], "little") if page in store else 0


def areas(
    process: Process,
    store: PageStore,
    *,
    layout: str,
    unsafe: Iterable[tuple[int, int]],
    hot: HotSet | None,
    file_size: Callable[[str], int],
    shared: frozenset[int] = frozenset(),
    gap: int = GAP,
) -> list[Area]:
    """Classify every page.

    Args:
        process: the frozen process; `refuse` has found nothing against it.
        store: its pages.
        layout: lz4, lazy or hot.
        unsafe: from `unsafe_ranges`.
        hot: pages to make EAGER in the hot layout; those of libraries become `Area.copies`.
        file_size: size of a mapped file, bytes.
        shared: pages of shared anonymous memory, and of files without a name, that hold something.
        gap: pages of another source that are swallowed between two runs of the same.
    """
    special = r.AREA_VSYSCALL | r.AREA_VVAR | r.AREA_VDSO
    forbidden = sorted(unsafe)
    stored = sorted(store)
    programs = {v.shmid for v in process.mm.vmas if v.status & r.FILE_PRIVATE and v.prot & mmap.PROT_EXEC}
    found = []
    for vma in sorted(process.mm.vmas, key=lambda vma: vma.start):
        if vma.status & special:
            continue
        # A private mapping of a file without a name: whether it shows what is written to the file later
        # is unspecified (mmap(2)), so it becomes anonymous memory with what it showed at the freeze.
        if vma.status & r.ANON_SHARED or maps_object(process, vma) and not vma.status & r.FILE_SHARED:
            sources = [Source.EAGER if page in shared else Source.ZERO for page in _pages(vma)]
            found.append(
                Area(vma=vma, runs=tuple(_runs(sources, _pages(vma).start, gap=gap, lazy_allowed=False)))
            )
            continue
        if maps_object(process, vma) and vma.status & r.FILE_SHARED:
            found.append(Area(vma=vma, runs=(Run(_pages(vma).start, _pages(vma).stop, Source.FILE),)))
            continue
        pages = _pages(vma)
        here = bisect_left(stored, pages.start)
        if vma.status & r.ANON_PRIVATE and (here == len(stored) or stored[here] >= pages.stop):
            # Nothing of it was dumped.  Runtimes reserve gigabytes: page by page that takes seconds.
            found.append(Area(vma=vma, runs=(Run(pages.start, pages.stop, Source.ZERO),)))
            continue
        hot_pages = hot.pages if hot is not None and layout == "hot" else frozenset[int]()
        sources = _sources(vma, store, layout=layout, hot_pages=hot_pages)
        fixed = any(start < vma.end and end > vma.start for start, end in forbidden)
        if fixed:
            _forbid_lazy(sources, pages, forbidden)
        writable = bool(vma.prot & mmap.PROT_WRITE)
        runs = _runs(sources, pages.start, gap=gap, lazy_allowed=not fixed, writable=writable)
        library = hot_pages if vma.shmid in programs and _can_be_copied(vma) else frozenset[int]()
        if library:
            size = max(0, file_size(process.path(vma.shmid)) - vma.pgoff)
            library = library.intersection(range(pages.start, pages.start + -(-size // PAGE_SIZE)))
        found.append(Area(vma=vma, runs=tuple(runs), copies=_copies(runs, library, gap)))
    return found


def _can_be_copied(vma: r.Vma) -> bool:
    """A copy is not kept from children (MADV_DONTFORK), and can be read."""
    return bool(
        vma.status & r.FILE_PRIVATE and vma.prot & mmap.PROT_READ and not vma.madv & 1 << _MADV_DONTFORK
    )


def _copies(runs: Iterable[Run], pages: frozenset[int], gap: int) -> tuple[tuple[int, int], ...]:
    """Page ranges of FILE runs that hold `pages`, and gaps between them that are not worth a mapping."""
    found: list[tuple[int, int]] = []
    for run in runs:
        if run.source is not Source.FILE:
            continue
        for page in sorted(pages.intersection(range(run.first, run.last))):
            if found and found[-1][0] >= run.first and page - found[-1][1] <= gap:
                found[-1] = (found[-1][0], page + 1)
            else:
                found.append((page, page + 1))
    return tuple(found)


def _pages(vma: r.Vma) -> range:
    return range(vma.start // PAGE_SIZE, vma.end // PAGE_SIZE)


def _sources(vma: r.Vma, store: PageStore, *, layout: str, hot_pages: frozenset[int]) -> list[Source]:
    """The source of each page of a VMA, before runs are joined."""
    is_file = bool(vma.status & (r.FILE_PRIVATE | r.FILE_SHARED))
    untouched = Source.FILE if is_file else Source.ZERO
    stored = {"lz4": Source.EAGER, "lazy": Source.LAZY, "hot": Source.LAZY}[layout]
    sources = []
    for page in range(vma.start // PAGE_SIZE, vma.end // PAGE_SIZE):
        if page not in store:
            sources.append(untouched)
        elif store.is_zero(page):
            sources.append(Source.ZERO)
        elif page in hot_pages:
            sources.append(Source.EAGER)
        else:
            sources.append(stored)
    return sources


def _forbid_lazy(sources: list[Source], pages: range, forbidden: list[tuple[int, int]]) -> None:
    for start, end in forbidden:
        for page in range(max(pages.start, start // PAGE_SIZE), min(pages.stop, end // PAGE_SIZE)):
            if sources[page - pages.start] is Source.LAZY:
                sources[page - pages.start] = Source.EAGER


def _runs(
    sources: Sequence[Source], first: int, *, gap: int, lazy_allowed: bool, writable: bool = True
) -> list[Run]:
    """Join pages into runs.

    A short run between two EAGER ones becomes EAGER (its contents are known,
    whatever its source), a short ZERO run between two LAZY ones LAZY; then
    LAZY runs too short to be worth a mapping become EAGER.  Not in read-only
    memory (each library has a page or two of relocations there), which needs
    that mapping anyway, and a call more to protect what was filled.
    """
    runs: list[Run] = []
    for page, source in enumerate(sources, first):
        if runs and runs[-1].source is source:
            runs[-1] = Run(runs[-1].first, page + 1, source)
        else:
            runs.append(Run(page, page + 1, source))
    runs = _swallow(runs, Source.LAZY, {Source.ZERO}, gap) if lazy_allowed else runs
    runs = [
        Run(run.first, run.last, Source.EAGER)
        if run.source is Source.LAZY and writable and run.last - run.first <= SHORT_LAZY
        else run
        for run in runs
    ]
    return _joined(_swallow(runs, Source.EAGER, {Source.ZERO, Source.LAZY, Source.FILE}, gap))


def _swallow(runs: list[Run], keep: Source, weak: set[Source], gap: int) -> list[Run]:
    result: list[Run] = []
    for index, run in enumerate(runs):
        between = 0 < index < len(runs) - 1 and result[-1].source is keep and runs[index + 1].source is keep
        if between and run.source in weak and run.last - run.first <= gap:
            run = Run(run.first, run.last, keep)
        result.append(run)
    return _joined(result)


def _joined(runs: list[Run]) -> list[Run]:
    result: list[Run] = []
    for run in runs:
        if result and result[-1].source is run.source:
            result[-1] = Run(result[-1].first, run.last, run.source)
        else:
            result.append(run)
    return result
