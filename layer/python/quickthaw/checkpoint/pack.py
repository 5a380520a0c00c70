"""CRIU's images become a snapshot's: pages compressed as an LZ4 frame, counted on the way.

The small images stay as CRIU wrote them, so that crit and criu read them.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import lz4.frame

from quickthaw import names
from quickthaw.snapshot import pages


@dataclass(frozen=True, kw_only=True)
class PackedPages:
    """One pages-N, as the manifest holds it.

    Attributes:
        file: name of the compressed file in images/; None where the pages stayed as they are.
        size: stored bytes.
        content_size: bytes of all pages.
        pages: how many.
        zero_pages: how many hold nothing but zeros.
        ratio: content_size / size.
        block_size: bytes; None where not compressed.
        level: LZ4 HC level; None where not compressed.
    """

    file: str | None
    size: int
    content_size: int
    pages: int
    zero_pages: int
    ratio: float
    block_size: int | None
    level: int | None

    def as_json(self) -> dict[str, object]:
        """As it stands in the manifest."""
        return asdict(self)


def pack(
    images: Path,
    *,
    level: int | None,
    block_size: int,
    keep_uncompressed: bool,
    on_bytes: Callable[[int, int], None],
) -> dict[str, PackedPages]:
    """Compresses every pages-N.img of a directory of images.

    Args:
        images: CRIU's images.
        level: LZ4 HC level; None leaves the pages uncompressed.
        block_size: bytes, one of `pages.BLOCK_SIZES`.
        keep_uncompressed: pages-N.img stays beside pages-N.comp.img.
        on_bytes: called with bytes done and bytes in all.

    Returns:
        What was packed, by N.
    """
    sources = sorted(path for path in images.glob("pages-*.img") if path.stem[len("pages-") :].isdigit())
    total, done = sum(source.stat().st_size for source in sources), 0
    packed = {}
    for source in sources:
        number = source.stem.removeprefix("pages-")
        content_size = source.stat().st_size
        zero = _zero_pages(source)
        target = None
        if level is not None:
            target = images / f"pages-{number}.comp.img"
            _compress(
                source,
                target,
                level=level,
                block_size=block_size,
                on_piece=partial(_report, on_bytes, done, total),
            )
            if not keep_uncompressed:
                source.unlink()
        size = target.stat().st_size if target else content_size
        packed[number] = PackedPages(
            file=target.name if target else None,
            size=size,
            content_size=content_size,
            pages=content_size // names.PAGE_SIZE,
            zero_pages=zero,
            ratio=round(content_size / size, 3) if size else 1.0,
            block_size=block_size if target else None,
            level=level if target else None,
        )
        done += content_size
        on_bytes(done, total)
    return packed


def _report(on_bytes: Callable[[int, int], None], before: int, total: int, written: int) -> None:
    on_bytes(before + written, total)


def _compress(
    source: Path, target: Path, *, level: int, block_size: int, on_piece: Callable[[int], None]
) -> None:
    compressor = lz4.frame.LZ4FrameCompressor(
        block_size=pages.BLOCK_SIZES[block_size],
        block_linked=False,
        compression_level=level,
        content_checksum=True,
        block_checksum=True,
        auto_flush=True,
    )
    with source.open("rb") as raw, target.open("w+b") as out:
        out.write(compressor.begin(source_size=source.stat().st_size))
        written = 0
        while piece := raw.read(block_size):
            out.write(compressor.compress(piece))
            written += len(piece)
            on_piece(written)
        out.write(compressor.flush())
        out.flush()
        with mmap.mmap(out.fileno(), 0, access=mmap.ACCESS_READ) as frame:
            index = pages.walk(memoryview(frame), str(target))
        out.write(index.pack())


def _zero_pages(path: Path) -> int:
    zero, count = bytes(names.PAGE_SIZE), 0
    with path.open("rb") as file:
        while piece := file.read(names.PAGE_SIZE * 256):
            count += sum(
                piece[at : at + names.PAGE_SIZE] == zero for at in range(0, len(piece), names.PAGE_SIZE)
            )
    return count
