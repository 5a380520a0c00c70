"""Writes ``pages.lz4`` (EAGER pages, in blocks) and ``pages.raw`` (LAZY pages, as they are).

Both start with one header page that carries the plan's tag, so that files of
two plans are never mixed.  In ``pages.lz4`` a block is at most 256 KiB of page
contents, compressed as one LZ4 frame block; the plan says which address
ranges (segments) a block fills.  A block that fills one range is decoded
straight into place, others go through a buffer; so long runs get blocks of
their own and only short ones share.  Blocks of copied library pages come last:
a thaw that finds the libraries in the page cache does without them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from os import cpu_count
from pathlib import Path
from typing import Final

import lz4.frame

from quickthaw.names import BLOCK_SIZE, LZ4_LEVEL, PAGE_SIZE
from quickthaw.plan import layout
from quickthaw.plan.classify import Area, Source
from quickthaw.plan.contents import Contents

_OWN_BLOCK: Final = 16  # pages: a run of this length is worth a block of its own
_STORED: Final = 1 << 31  # LZ4 frame: block size with this bit means "not compressed"


@dataclass(frozen=True, kw_only=True)
class Block:
    """One block and the page runs [first, last) that it fills, in order."""

    offset: int
    packed: int
    size: int
    checksum: int
    segments: tuple[tuple[int, int], ...]


@dataclass(kw_only=True)
class RawFile:
    """Where each lazy run lies in pages.raw."""

    size: int = 0
    offsets: dict[int, int] = field(default_factory=dict)  # first page of the run -> byte offset


def _eager(areas: Iterable[Area]) -> Iterator[tuple[int, int]]:
    for area in areas:
        yield from ((run.first, run.last) for run in area.runs if run.source is Source.EAGER)


def _copies(areas: Iterable[Area]) -> Iterator[tuple[int, int]]:
    for area in areas:
        yield from area.copies


def _block_runs(ranges: Iterable[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Cuts page ranges [first, last) into groups of at most BLOCK_SIZE bytes."""
    limit = BLOCK_SIZE // PAGE_SIZE
    shared: list[tuple[int, int]] = []
    room = limit
    for first, end in ranges:
        while end - first >= _OWN_BLOCK:
            last = min(end, first + limit)
            yield [(first, last)]
            first = last
        while first < end:
            last = min(end, first + room)
            shared.append((first, last))
            room -= last - first
            first = last
            if room == 0:
                yield shared
                shared, room = [], limit
    if shared:
        yield shared


def write_packed(
    path: Path, areas: Sequence[Area], contents: Contents, *, tag: int, level: int = LZ4_LEVEL
) -> tuple[list[Block], int]:
    """Write pages.lz4; no file when nothing is EAGER, and nothing of a library hot.

    Returns:
        The blocks, and how many of them are EAGER pages'; library pages follow.
    """

    def compress(data: bytes) -> tuple[int, bytes, bytes]:
        # A frame of one block: 4 bytes of size, the block, its XXH32.  The frame's own header is dropped.
        frame = lz4.frame.compress(
            data,
            compression_level=level,
            block_size=lz4.frame.BLOCKSIZE_MAX256KB,
            block_linked=False,
            block_checksum=True,
            store_size=False,
        )
        header = 7
        word = int.from_bytes(frame[header : header + 4], "little")
        size = word & ~_STORED
        body = frame[header + 4 : header + 4 + size]
        return word & _STORED, body, frame[header + 4 + size : header + 8 + size]

    blocks: list[Block] = []
    eager = list(_block_runs(_eager(areas)))
    groups = eager + list(_block_runs(_copies(areas)))
    if not groups:
        path.unlink(missing_ok=True)
        return blocks, 0
    with path.open("wb") as out, ThreadPoolExecutor(cpu_count() or 1) as pool:
        out.write(bytes(PAGE_SIZE))
        batch = 256  # groups whose contents are in memory at a time: 64 MiB
        for begin in range(0, len(groups), batch):
            part = groups[begin : begin + batch]
            data = [b"".join(contents.pages(first, last) for first, last in group) for group in part]
            for group, raw, (stored, body, check) in zip(part, data, pool.map(compress, data), strict=True):
                if stored and len(body) != len(raw):
                    raise AssertionError("an LZ4 frame of one block held more than one")
                blocks.append(
                    Block(
                        offset=out.tell(),
                        packed=len(body),
                        size=len(raw),
                        checksum=int.from_bytes(check, "little"),
                        segments=tuple(group),
                    )
                )
                out.write(body)
        size = out.tell()
        out.seek(0)
        out.write(layout.PAGES_HEADER.pack(magic=layout.PAGES_MAGIC, tag=tag, size=size))
    return blocks, len(eager)


def write_raw(path: Path, areas: Iterable[Area], contents: Contents, *, tag: int) -> RawFile:
    """Write pages.raw; no file when nothing is LAZY."""
    raw = RawFile()
    lazy = [run for area in areas for run in area.runs if run.source is Source.LAZY]
    if not lazy:
        path.unlink(missing_ok=True)
        return raw
    with path.open("wb") as out:
        out.write(bytes(PAGE_SIZE))
        for run in lazy:
            raw.offsets[run.first] = out.tell()
            for page in range(run.first, run.last):
                out.write(contents.page(page))
        raw.size = out.tell()
        out.seek(0)
        out.write(layout.PAGES_HEADER.pack(magic=layout.PAGES_MAGIC, tag=tag, size=raw.size))
    return raw
