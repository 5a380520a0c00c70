"""LZ4 frames to raw pages, block by block, through liblz4 and one small reused buffer.

Fresh memory costs several times the decode (2 us a page to fault in, 0.5 us to
decode), so nothing is ever decoded into a large buffer: a block goes into the
same 256 KiB again and again and from there to a file or pipe.  liblz4 checks
each block's checksum on the way, and the GIL is free during its calls, so the
main thread keeps supervising CRIU.
"""

from __future__ import annotations

import posix

from quickthaw.errors import Declined
from quickthaw.runtime import liblz4
from quickthaw.snapshot import pages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SLACK = 64  # block header, checksum, next header; more than liblz4 ever asks for above a block


class FrameDecoder:
    """Decodes one page file.

    Args:
        library: path of liblz4.so.1.
        path: the page file's, for messages.
        fd: the page file, open; it stays the caller's to close.
        arrived: waits until the bytes from start to end are in it; None: they are.

    Raises:
        Declined: the library cannot be opened.
        BadSnapshot: the file's index is damaged.
    """

    def __init__(
        self, library: str, path: str, fd: int, arrived: Callable[[int, int], None] | None = None
    ) -> None:
        self.path = path
        self._fd = fd
        self._arrived = arrived or (lambda _start, _end: None)
        try:
            self._frames = liblz4.Frames(library)
        except OSError as error:
            raise Declined(f"cannot decode {path}: {error}") from error
        self.index = pages.read_index(self._fd, path, self._arrived)
        posix.posix_fadvise(self._fd, 0, 0, posix.POSIX_FADV_WILLNEED)
        self.bytes_read = 0

    def blocks(self, buffer: Callable[[], bytearray]) -> Iterator[tuple[bytearray, int]]:
        """Every block in order, as (buffer, bytes in it).

        Args:
            buffer: gives a bytearray of at least `index.block_size` bytes for the next block.

        Raises:
            Declined: a block does not decode, its checksum does not fit, or the file ends too soon.
        """
        room = self.index.block_size
        packed = bytearray(room + _SLACK)
        source, window = liblz4.view(packed), memoryview(packed)
        # Not the file's own header: that one announces a content checksum, see `pages.header`.
        window[: pages.HEADER_SIZE] = pages.header(room, self.index.content_size, content_checksum=False)
        posix.lseek(self._fd, pages.HEADER_SIZE, 0)  # SEEK_SET
        got = at = pages.HEADER_SIZE
        total = number = 0
        target = buffer()
        known, address = target, liblz4.view(target)
        wanted = 1
        while wanted:
            used = 0
            while used < got and wanted:
                try:
                    produced, consumed, wanted = self._frames.decompress(
                        address, room, source, used, got - used
                    )
                except ValueError as error:
                    raise Declined(f"{self.path}, block {number}: {error}") from error
                used += consumed
                if produced:
                    total += produced
                    number += 1
                    yield target, produced
                    target = buffer()
                    if target is not known:
                        known, address = target, liblz4.view(target)
                elif not consumed:
                    raise Declined(f"{self.path}: liblz4 makes no progress at block {number}")
            if wanted:
                size = min(wanted, len(window))
                self._arrived(at, at + size)
                got = posix.readv(self._fd, [window[:size]])
                at += got
                if got == 0:
                    raise Declined(f"{self.path} ends inside block {number}")
                self.bytes_read += got
        if total != self.index.content_size:
            raise Declined(f"{self.path} holds {total} bytes of pages, not {self.index.content_size}")

    def close(self) -> None:
        """Gives back liblz4's context."""
        self._frames.close()
