"""pages-N.comp.img: an LZ4 frame that `lz4 -d` reads, then a skippable frame with the block index.

Frame: independent blocks, a checksum on each (XXH32 of the compressed bytes),
content size, content checksum.  (The block checksums alone would do, but the
lz4 program up to 1.9.4 misreads what follows a frame with block checksums and
no content checksum.)  The index lets a reader fetch and decode any block
alone; it guards itself with a CRC-32, because LZ4 tools skip it unread.

    u32 0x184D2A51  u32 n   skippable frame of n bytes (LZ4 frame format, "Skippable Frames")
    4s  "QTIX"      u32 1   index, version
    u32 block size  u32 block count
    u64 content size
    u32 the frame's content checksum
    u32 stored size of each block; bit 31: stored as it is, not compressed
    u32 CRC-32 of everything from "QTIX" on
"""

from __future__ import annotations

import posix
import struct
import zlib

from quickthaw.errors import BadSnapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FRAME_MAGIC = 0x184D2204
INDEX_MAGIC = 0x184D2A51
RAW_BIT = 0x80000000
BLOCK_SIZES = {64 << 10: 4, 256 << 10: 5, 1 << 20: 6, 4 << 20: 7}  # bytes -> the frame's code (BD byte)
HEADER_SIZE = 15  # magic, FLG, BD, content size, header checksum
_FLAGS = 0b01111000  # version 1, independent blocks, block checksums, content size
_CONTENT_CHECKSUM = 0b00000100
_INDEX_HEAD = struct.Struct("<4sIIIQI")


def header(block_size: int, content_size: int, *, content_checksum: bool) -> bytes:
    """The header of a frame; the thaw tells liblz4 that there is no content checksum.

    Checking it would cost 17 ms for 120 MB, and says no more than the blocks' own.
    """
    flags = _FLAGS | (_CONTENT_CHECKSUM if content_checksum else 0)
    described = struct.pack("<BBQ", flags, BLOCK_SIZES[block_size] << 4, content_size)
    return struct.pack("<I", FRAME_MAGIC) + described + bytes([_xxh32_short(described) >> 8 & 0xFF])


def _xxh32_short(data: bytes) -> int:
    """XXH32, seed 0, of fewer than 16 bytes (xxHash specification, steps 4 to 6)."""
    prime = (2654435761, 2246822519, 3266489917, 668265263, 374761393)
    mask = 0xFFFFFFFF
    value = prime[4] + len(data)
    whole = len(data) // 4 * 4
    for (word,) in struct.iter_unpack("<I", data[:whole]):
        value = value + word * prime[2] & mask
        value = ((value << 17 | value >> 15) & mask) * prime[3] & mask
    for byte in data[whole:]:
        value = value + byte * prime[4] & mask
        value = ((value << 11 | value >> 21) & mask) * prime[0] & mask
    value = (value ^ value >> 15) * prime[1] & mask
    value = (value ^ value >> 13) * prime[2] & mask
    return value ^ value >> 16


class Index:
    """The blocks of one page file.

    Attributes:
        block_size: bytes of content in every block but the last.
        content_size: bytes of all pages.
        content_checksum: XXH32 of all pages.
        stored: stored bytes of each block, with RAW_BIT where it was not worth compressing.
    """

    __slots__ = ("block_size", "content_checksum", "content_size", "stored")

    def __init__(
        self, block_size: int, content_size: int, content_checksum: int, stored: tuple[int, ...]
    ) -> None:
        self.block_size = block_size
        self.content_size = content_size
        self.content_checksum = content_checksum
        self.stored = stored

    def frame_size(self) -> int:
        """Bytes of the LZ4 frame alone, without the index behind it."""
        return HEADER_SIZE + sum((size & ~RAW_BIT) + 8 for size in self.stored) + 8

    def pack(self) -> bytes:
        """The skippable frame."""
        body = _INDEX_HEAD.pack(
            b"QTIX", 1, self.block_size, len(self.stored), self.content_size, self.content_checksum
        )
        body += struct.pack(f"<{len(self.stored)}I", *self.stored)
        body += struct.pack("<I", zlib.crc32(body))
        return struct.pack("<II", INDEX_MAGIC, len(body)) + body


def walk(data: memoryview, path: str) -> Index:
    """The index of an LZ4 frame as its own block headers give it.

    Raises:
        BadSnapshot: not a frame of the form above, or cut short.
    """
    block_size, content_size = _described(bytes(data[:HEADER_SIZE]), path)
    at = HEADER_SIZE
    stored: list[int] = []
    while True:
        if at + 8 > len(data):
            raise BadSnapshot(f"{path} ends inside block {len(stored)}")
        size = int.from_bytes(data[at : at + 4], "little")
        at += 4
        if size == 0:
            checksum = int.from_bytes(data[at : at + 4], "little")
            return Index(block_size, content_size, checksum, tuple(stored))
        stored.append(size)
        at += (size & ~RAW_BIT) + 4


def _described(head: bytes, path: str) -> tuple[int, int]:
    """Block size and content size, if this is exactly the header that we write."""
    sizes = [size for size, code in BLOCK_SIZES.items() if len(head) == HEADER_SIZE and code == head[5] >> 4]
    content_size = int.from_bytes(head[6:14], "little")
    if not sizes or head != header(sizes[0], content_size, content_checksum=True):
        raise BadSnapshot(f"{path} is damaged: it does not begin as a page file's LZ4 frame")
    return sizes[0], content_size


def read_index(fd: int, path: str, arrived: Callable[[int, int], None] = lambda _start, _end: None) -> Index:
    """The index at the end of a page file.

    Args:
        fd: the open file; its position stays.
        path: named in errors.
        arrived: waits until the bytes from start to end are in the file.

    Raises:
        BadSnapshot: there is none, it is damaged, or the file is cut short.
    """
    # The index begins where only its length can tell; the header in front fixes the number of blocks.
    arrived(0, HEADER_SIZE)
    block_size, content_size = _described(posix.pread(fd, HEADER_SIZE, 0), path)
    count = -(-content_size // block_size)
    length = 8 + _INDEX_HEAD.size + 4 * count + 4
    size = posix.fstat(fd).st_size
    arrived(max(0, size - length - 4), size)
    packed = posix.pread(fd, 4 + length, max(0, size - length - 4))
    checksum, packed = int.from_bytes(packed[:4], "little"), packed[4:]
    if len(packed) == length:
        stored = struct.unpack_from(f"<{count}I", packed, 8 + _INDEX_HEAD.size)
        index = Index(block_size, content_size, checksum, stored)
        if index.pack() == packed and index.frame_size() + length == size:
            return index
    raise BadSnapshot(f"{path} is damaged or cut short: its block index does not fit")
