"""XXH32, the checksum of LZ4's frame format: also of plans, so that the restorer needs only one."""

from __future__ import annotations

import lz4.frame


def xxh32(data: bytes | bytearray | memoryview) -> int:
    """XXH32 (seed 0) of bytes.

    The lz4 package does not export the function, but an LZ4 frame ends with
    the XXH32 of its content: level 0 copies incompressible data and costs
    little for the few hundred KB that a plan has.
    """
    frame = lz4.frame.compress(bytes(data), compression_level=-16, content_checksum=True)
    return int.from_bytes(frame[-4:], "little")
