"""Decoded pages into the file that CRIU reads, through one small buffer."""

from __future__ import annotations

from quickthaw.runtime.feed import write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from quickthaw.runtime.decode import FrameDecoder


def pour(decoder: FrameDecoder, target: int, on_block: Callable[[int], None]) -> int:
    """Decodes one page file.

    Args:
        decoder: of it; closed at the end.
        target: descriptor to write to.
        on_block: called with the bytes of each block that is written; what it raises ends all.

    Returns:
        Stored bytes that were read.

    Raises:
        Declined: the file is damaged.
        OSError: as write(2), ENOSPC above all.
    """
    one = bytearray(decoder.index.block_size)
    view = memoryview(one)
    for _, size in decoder.blocks(lambda: one):
        write_all(target, view[:size])
        on_block(size)
    decoder.close()
    return decoder.bytes_read
