"""pages-N.comp.img: an LZ4 frame that `lz4 -d` reads, then a skippable frame with the block index.

Frame: independent blocks, a checksum on each (XXH32 of the compressed bytes),
content size, no content checksum (the blocks' say the same).  The index lets
a reader fetch and decode any block alone; it guards itself with a CRC-32,
because LZ4 tools skip it unread.

    u32 0x184D2A51  u32 n   skippable frame of n bytes (LZ4 frame format, "Skippable Frames")
    4s  "QTIX"      u32 1   index, version
    u32 block size  u32 block count
    u64 content size
    u32 stored size of each block; bit 31: stored as it is, not compressed
    u32 CRC-32 of everything from "QTIX" on
"""

from __future__ import annotations

import struct
import zlib

from quickthaw.errors import BadSnapshot

FRAME_MAGIC = 0x184D2204
INDEX_MAGIC = 0x184D2A51
RAW_BIT = 0x80000000
BLOCK_SIZES = {64 << 10: 4, 256 << 10: 5, 1 << 20: 6, 4 << 20: 7}  # bytes -> the frame's code (BD byte)
_HEADER_SIZE = 15  # magic, FLG, BD, content size, header checksum
_INDEX_HEAD = struct.Struct("<4sIIIQ")


class Index:
    """The blocks of one page file.

    Attributes:
        block_size: bytes of content in every block but the last.
        content_size: bytes of all pages.
        stored: stored bytes of each block, with RAW_BIT where it was not worth compressing.
    """

    __slots__ = ("block_size", "content_size", "stored")

    def __init__(self, block_size: int, content_size: int, stored: tuple[int, ...]) -> None:
        self.block_size = block_size
        self.content_size = content_size
        self.stored = stored

    def frame_size(self) -> int:
        """Bytes of the LZ4 frame alone, without the index behind it."""
        return _HEADER_SIZE + sum((size & ~RAW_BIT) + 8 for size in self.stored) + 4

    def pack(self) -> bytes:
        """The skippable frame."""
        head = _INDEX_HEAD.pack(b"QTIX", 1, self.block_size, len(self.stored), self.content_size)
        body = head + struct.pack(f"<{len(self.stored)}I", *self.stored)
        body += struct.pack("<I", zlib.crc32(body))
        return struct.pack("<II", INDEX_MAGIC, len(body)) + body


def walk(data: bytes | memoryview, path: str) -> Index:
    """The index of an LZ4 frame as its own block headers give it.

    Raises:
        BadSnapshot: not a frame of the form above, or cut short.
    """
    if len(data) < _HEADER_SIZE + 4 or int.from_bytes(data[:4], "little") != FRAME_MAGIC:
        raise BadSnapshot(f"{path} is no LZ4 frame")
    flags, code = data[4], data[5] >> 4 & 7
    sizes = [size for size, c in BLOCK_SIZES.items() if c == code]
    if flags != 0b01111000 or not sizes:
        raise BadSnapshot(f"{path}: not independent blocks with checksums and a content size")
    content_size = int.from_bytes(data[6:14], "little")
    at, stored = _HEADER_SIZE, []
    while True:
        if at + 4 > len(data):
            raise BadSnapshot(f"{path} ends inside block {len(stored)}")
        size = int.from_bytes(data[at : at + 4], "little")
        at += 4
        if size == 0:
            return Index(sizes[0], content_size, tuple(stored))
        stored.append(size)
        at += (size & ~RAW_BIT) + 4


def read_index(fd: int, path: str) -> Index:
    """The index at the end of a page file.

    Args:
        fd: the open file; its position stays.
        path: named in errors.

    Raises:
        BadSnapshot: there is none, it is damaged, or the file is cut short.
    """
    import posix

    size = posix.fstat(fd).st_size
    # The index knows its own length only at its front: find the front from the manifest-free
    # facts, the frame's content size and block size, which fix the number of blocks.
    head = posix.pread(fd, _HEADER_SIZE, 0)
    sizes = [s for s, c in BLOCK_SIZES.items() if len(head) == _HEADER_SIZE and c == head[5] >> 4 & 7]
    if not sizes or int.from_bytes(head[:4], "little") != FRAME_MAGIC:
        raise BadSnapshot(f"{path} is no LZ4 frame")
    content_size = int.from_bytes(head[6:14], "little")
    count = -(-content_size // sizes[0])
    length = 8 + _INDEX_HEAD.size + 4 * count + 4
    packed = posix.pread(fd, length, max(0, size - length))
    index = None
    if len(packed) == length and packed[:4] == struct.pack("<I", INDEX_MAGIC):
        stored = struct.unpack_from(f"<{count}I", packed, 8 + _INDEX_HEAD.size)
        index = Index(sizes[0], content_size, stored)
    if index is None or index.pack() != packed or index.frame_size() + length != size:
        raise BadSnapshot(f"{path} is damaged or cut short: its block index does not fit")
    return index
