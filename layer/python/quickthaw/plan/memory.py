"""Rows of the plan about memory: mapped files, mappings, blocks of pages, protections."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from quickthaw import names
from quickthaw.criuimg import Process
from quickthaw.criuimg import records as r
from quickthaw.plan import layout, pagefiles
from quickthaw.plan.checksum import xxh32
from quickthaw.plan.classify import Area, Source
from quickthaw.plan.hot import HotSet, runs
from quickthaw.plan.identity import Identity
from quickthaw.plan.tables import Tables

_MAP_KEPT: Final = 0x4000 | 0x100 | 0x20000  # MAP_NORESERVE, MAP_GROWSDOWN, MAP_STACK
_MADV_RANDOM: Final = 1
_MADV_DONTDUMP: Final = 16  # set on the vdso by the kernel; means nothing for a thaw
_MADV_WIPEONFORK: Final = 18
_PROBES: Final = 48  # library pages that are looked for in the page cache, some 0.5 us each
_AROUND: Final = 16  # pages that a fault on a cached file maps, aligned (mm/memory.c, fault_around_bytes)


def add_files(tables: Tables, identities: Mapping[str, Identity]) -> None:
    """Mapped files, sorted by path."""
    for path in sorted(identities):
        found = identities[path]
        samples = {
            f"sample[{number}]__{name}": getattr(sample, name)
            for number, sample in enumerate(found.samples)
            for name in ("offset", "size", "checksum")
        }
        tables.add(
            layout.FILE,
            **tables.text("path", path),
            size=found.size,
            mtime_ns=found.mtime_ns,
            **samples,
        )


def add_maps(
    tables: Tables,
    process: Process,
    areas: Iterable[Area],
    *,
    files: Iterable[str],
    objects: Mapping[int, int],
    raw: pagefiles.RawFile,
    wiped: Sequence[tuple[int, int]],
    random: bool,
) -> int:
    """The mappings, ascending and disjoint; and the protections that filling has to loosen.

    Args:
        tables: to add to.
        process: the frozen process.
        areas: its classified memory.
        files: paths in the order of `add_files`.
        objects: for mappings of files without a name, file id to object.
        raw: where lazy runs lie.
        wiped: ranges with MADV_WIPEONFORK.
        random: no readahead for lazy runs.

    Returns:
        The number of protections that are needed without copies of library pages, too; they come first.
    """
    index = {path: number for number, path in enumerate(files)}
    always: list[dict[str, int]] = []
    copied: list[dict[str, int]] = []
    for area in areas:
        vma = area.vma
        loosened: list[int] = []
        for begin, end, source, first in _pieces(area):
            prot = vma.prot
            if source is Source.EAGER and not prot & mmap.PROT_WRITE:
                prot |= mmap.PROT_READ | mmap.PROT_WRITE
                loosened += (begin, end)
            file, offset, flags = _source(
                process, vma, begin, source, first, index=index, objects=objects, raw=raw
            )
            advice = vma.madv & ~(1 << _MADV_DONTDUMP) & 0xFFFF_FFFF
            if any(start <= begin and end <= stop for start, stop in wiped):
                advice |= 1 << _MADV_WIPEONFORK
            if source is Source.LAZY and random:
                advice |= 1 << _MADV_RANDOM
            size = end - begin
            tables.add(
                layout.MAP,
                start=begin,
                size=size,
                offset=offset,
                prot=prot,
                flags=flags,
                file=file,
                advice=advice,
            )
        copies = _add_copies(tables, area)
        # What lies between has this protection already, and one call for all is cheaper.
        ends = loosened + (copies if not vma.prot & mmap.PROT_WRITE else [])
        if ends:
            row = {"start": min(ends), "size": max(ends) - min(ends), "prot": vma.prot}
            (always if loosened else copied).append(row)
    for row in always + copied:
        tables.add(layout.PROTECT, **row)
    return len(always)


def _add_copies(tables: Tables, area: Area) -> list[int]:
    """Where hot pages of a library can be put; returns the addresses at which they begin and end."""
    ends = []
    for first, last in area.copies:
        begin, end = first * names.PAGE_SIZE, last * names.PAGE_SIZE
        tables.add(
            layout.COPY,
            start=begin,
            size=end - begin,
            prot=area.vma.prot | mmap.PROT_READ | mmap.PROT_WRITE,
            flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | area.vma.flags & _MAP_KEPT,
        )
        ends += [begin, end]
    return ends


def add_probes(tables: Tables, process: Process, areas: Iterable[Area], files: Iterable[str]) -> None:
    """Library pages, spread evenly over the hot ones, that tell whether the page cache has them."""
    index = {path: number for number, path in enumerate(files)}
    pages = [
        (index[process.path(area.vma.shmid)], area.vma.pgoff + page * names.PAGE_SIZE - area.vma.start)
        for area in areas
        for first, last in area.copies
        for page in range(first, last)
    ]
    for at in range(min(_PROBES, len(pages))):
        file, offset = pages[at * len(pages) // min(_PROBES, len(pages))]
        tables.add(layout.PROBE, file=file, offset=offset)


def _source(
    process: Process,
    vma: r.Vma,
    begin: int,
    source: Source,
    first: int,
    *,
    index: Mapping[str, int],
    objects: Mapping[int, int],
    raw: pagefiles.RawFile,
) -> tuple[int, int, int]:
    """File, offset and mmap flags of one mapping."""
    kept = vma.flags & _MAP_KEPT
    if source is Source.LAZY:
        return layout.FILE_RAW, raw.offsets[first], mmap.MAP_PRIVATE | kept
    if source is not Source.FILE:
        shared = mmap.MAP_SHARED if vma.status & r.ANON_SHARED else mmap.MAP_PRIVATE
        return layout.FILE_NONE, 0, shared | mmap.MAP_ANONYMOUS | kept
    offset = vma.pgoff + begin - vma.start
    if vma.shmid in objects:
        return layout.FILE_OBJECT - objects[vma.shmid], offset, mmap.MAP_SHARED
    shared = mmap.MAP_SHARED if vma.status & r.FILE_SHARED else mmap.MAP_PRIVATE
    return index[process.path(vma.shmid)], offset, shared | kept


def add_blocks(tables: Tables, blocks: Iterable[pagefiles.Block]) -> None:
    """Blocks of pages.lz4 and what each fills, in the same order; a block's checksum covers both."""
    for block in blocks:
        first = tables.count(layout.SEGMENT)
        filled = b""
        for begin, end in block.segments:
            row = {"start": begin * names.PAGE_SIZE, "size": (end - begin) * names.PAGE_SIZE}
            tables.add(layout.SEGMENT, **row)
            filled += layout.SEGMENT.pack(**row)
        tables.add(
            layout.BLOCK,
            offset=block.offset,
            packed=block.packed,
            size=block.size,
            segment=first,
            segments=len(block.segments),
            checksum=block.checksum ^ xxh32(filled),
        )


def add_touches(tables: Tables, areas: Iterable[Area], hot: HotSet) -> None:
    """Pages that a request is known to touch, to be mapped or copied in advance by all CPUs.

    Those to be written come first.  A fault for reading maps cached neighbours as
    well, and what is written after that takes a second fault, which interrupts
    the other CPUs to flush their TLBs (mm/memory.c, wp_page_copy).
    """
    writes: list[tuple[int, int]] = []
    reads: list[tuple[int, int]] = []
    for area in areas:
        for run in area.runs:
            if run.source not in (Source.LAZY, Source.FILE):
                continue
            pages = hot.pages.intersection(range(run.first, run.last))
            written = hot.written & pages if area.vma.prot & mmap.PROT_WRITE else frozenset[int]()
            writes += runs(written)
            if area.vma.prot & mmap.PROT_READ:
                windows: dict[int, int] = {}
                for page in sorted(pages - written):
                    windows.setdefault(page // _AROUND, page)
                reads += [(page, 1) for page in windows.values()]
    for write, found in ((1, writes), (0, reads)):
        for first, count in found:
            tables.add(layout.TOUCH, start=first * names.PAGE_SIZE, size=count * names.PAGE_SIZE, write=write)


def _pieces(area: Area) -> list[tuple[int, int, Source, int]]:
    """Mappings of one VMA: [start, end), source, first page; EAGER and ZERO neighbours are one mapping.

    Only where the VMA is writable: elsewhere filling needs a protection that ZERO must not get.
    """
    writable = bool(area.vma.prot & mmap.PROT_WRITE)
    found: list[tuple[int, int, Source, int]] = []
    anonymous = (Source.EAGER, Source.ZERO)
    for run in area.runs:
        begin, end = run.first * names.PAGE_SIZE, run.last * names.PAGE_SIZE
        if found and writable and run.source in anonymous and found[-1][2] in anonymous:
            found[-1] = (found[-1][0], end, Source.EAGER, found[-1][3])
        else:
            found.append((begin, end, run.source, run.first))
    return found
