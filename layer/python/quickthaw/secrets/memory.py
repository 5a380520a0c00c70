"""Everything that a snapshot holds, as streams for the search.

The frozen memory lies in it twice: dumped, as CRIU's pages, and laid out for
the native engine, where pages of mapped files may have come along.  Both are
put together by address, so that a value over the edge of two runs, or of an
eager and a lazy page, is whole, and a hit in both counts once.  All other
files are searched as they are: the plan with what travels in /tmp, CRIU's
images with pipes, unlinked files and queues, the manifest.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import lz4.block
import lz4.frame

from quickthaw import criuimg, names
from quickthaw.criuimg import PageMap
from quickthaw.criuimg import records as r
from quickthaw.errors import BadSnapshot
from quickthaw.plan import layout
from quickthaw.plan.build import PACKED, PLAN, RAW
from quickthaw.plan.tables import rows
from quickthaw.secrets.leak import Stream

_PIECE: Final = 4 << 20  # bytes that are searched at a time
_MEMORY: Final = "memory"
_GROWSDOWN: Final = 0x100  # MAP_GROWSDOWN: the main thread's stack


def streams(snapshot: Path) -> Iterator[Stream]:
    """All of a snapshot directory, whether or not it is complete.

    Raises:
        BadSnapshot: pages cannot be decoded, or the plan is of another version.
    """
    images = snapshot / names.IMAGES
    native = snapshot / names.NATIVE
    place: Callable[[int], str] = lambda _address: "memory"  # noqa: E731
    pages: set[Path] = set()
    if (images / "pstree.img").exists():
        process = criuimg.load(images)
        place = _places(process)
        maps = [(process.pagemap, _MEMORY, place)]
        maps += [
            (pagemap, f"shared {segment}", lambda _address: "shared memory")
            for segment, pagemap in process.shmem.items()
        ]
        for pagemap, space, named in maps:
            source = _pages_file(images, pagemap.pages_id)
            yield Stream(space=space, pieces=_dumped(pagemap, source), place=named)
            pages |= {source, images / f"pages-{pagemap.pages_id}.img"}
    if _is_plan(native / PLAN):
        yield Stream(space=_MEMORY, pieces=_laid_out(native), place=place)
        pages |= {native / PACKED, native / RAW}
    for path in sorted(snapshot.rglob("*")):
        if path.is_file() and path not in pages:
            name = str(path.relative_to(snapshot))
            yield Stream(space=name, pieces=_file(path), place=partial(_always, name))


def size(snapshot: Path) -> int:
    """Bytes that `streams` will bring, roughly: pages are counted decoded."""
    total = 0
    images = snapshot / names.IMAGES
    if (images / "pstree.img").exists():
        process = criuimg.load(images)
        total += sum(pagemap.pages for pagemap in (process.pagemap, *process.shmem.values()))
    return (2 * total) * names.PAGE_SIZE


def _always(name: str, _address: int) -> str:
    return name


def _file(path: Path) -> Iterator[tuple[int, bytes]]:
    at = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield at, piece
            at += len(piece)


def _places(process: criuimg.Process) -> Callable[[int], str]:
    """Names the mapping at an address: heap, stack, or the library whose data it is."""
    vmas = sorted(process.mm.vmas, key=lambda vma: vma.start)
    starts = [vma.start for vma in vmas]

    def place(address: int) -> str:
        index = bisect_right(starts, address) - 1
        if index < 0 or address >= vmas[index].end:
            return "memory"
        vma = vmas[index]
        if vma.status & r.AREA_HEAP:
            return "heap"
        if vma.flags & _GROWSDOWN or vma.start <= process.mm.start_stack < vma.end:
            return "stack"
        if vma.status & (r.FILE_PRIVATE | r.FILE_SHARED) and not vma.status & r.AREA_MEMFD:
            return f"memory of {process.path(vma.shmid)}"
        return "anonymous memory"

    return place


def _pages_file(images: Path, number: int) -> Path:
    """The uncompressed pages where they were kept."""
    plain = images / f"pages-{number}.img"
    return plain if plain.exists() else images / f"pages-{number}.comp.img"


def _dumped(pagemap: PageMap, path: Path) -> Iterator[tuple[int, bytes]]:
    """Pages as CRIU wrote them: in the order of their addresses."""
    try:
        with lz4.frame.open(path) if ".comp." in path.name else path.open("rb") as file:
            for run in pagemap.runs:
                if run.in_parent or (run.flags and not run.flags & r.PAGE_PRESENT):
                    continue
                address, left = run.vaddr, run.pages * names.PAGE_SIZE
                while left:
                    piece = file.read(min(left, _PIECE))
                    if not piece:
                        raise BadSnapshot(f"{path} is cut off", hint="make the snapshot again")
                    yield address, piece
                    address += len(piece)
                    left -= len(piece)
    except (OSError, RuntimeError, EOFError) as error:
        raise BadSnapshot(f"{path} is damaged: {error}", hint="make the snapshot again") from error


def _is_plan(path: Path) -> bool:
    if not path.exists():
        return False
    with path.open("rb") as file:
        head = file.read(layout.HEADER.size)
    if len(head) < layout.HEADER.size or layout.HEADER.unpack(head)["magic"] != layout.MAGIC:
        return False  # whatever it is, it is searched as any file
    version = layout.HEADER.unpack(head)["version"]
    if version != layout.VERSION:
        raise BadSnapshot(
            f"{path} has version {version!r}, this quickthaw reads {layout.VERSION}",
            hint="make the snapshot again",
        )
    return True


def _laid_out(native: Path) -> Iterator[tuple[int, bytes]]:
    """Eager and lazy pages in the order of their addresses.

    Decoded blocks are held until all are placed: the short runs of one block lie all over memory.
    """
    plan = (native / PLAN).read_bytes()
    found: list[tuple[int, memoryview]] = []
    raw = (native / RAW).read_bytes() if (native / RAW).exists() else b""
    for row in rows(plan, layout.MAP):
        if row["file"] == layout.FILE_RAW:
            found.append((row["start"], memoryview(raw)[row["offset"] : row["offset"] + row["size"]]))
    if (native / PACKED).exists():
        packed = (native / PACKED).read_bytes()
        segments = rows(plan, layout.SEGMENT)
        for block in rows(plan, layout.BLOCK):
            found += _placed(block, segments, packed, native / PACKED)
    for address, data in sorted(found, key=lambda one: one[0]):
        for at in range(0, len(data), _PIECE):
            yield address + at, bytes(data[at : at + _PIECE])


def _placed(
    block: dict[str, Any], segments: Sequence[dict[str, Any]], packed: bytes, path: Path
) -> Iterator[tuple[int, memoryview]]:
    data = packed[block["offset"] : block["offset"] + block["packed"]]
    if block["packed"] != block["size"]:  # equal: not worth compressing, stored as it is
        try:
            data = lz4.block.decompress(data, uncompressed_size=block["size"])
        except lz4.block.LZ4BlockError as error:
            raise BadSnapshot(f"{path} is damaged: {error}", hint="make the snapshot again") from error
    view, at = memoryview(data), 0
    for segment in segments[block["segment"] : block["segment"] + block["segments"]]:
        yield segment["start"], view[at : at + segment["size"]]
        at += segment["size"]
