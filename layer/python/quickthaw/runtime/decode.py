"""LZ4 frames to raw pages, block by block, through liblz4 and one small reused buffer.

Fresh memory costs several times the decode (2 us a page to fault in, 0.5 us to
decode), so nothing is ever decoded into a large buffer: a block goes into the
same 256 KiB again and again and from there to a file or pipe.  liblz4 checks
each block's checksum on the way.  ctypes lets go of the GIL during a call, so
the main thread keeps supervising CRIU.

Imported after CRIU is spawned: ctypes takes 5 ms.
"""

from __future__ import annotations

import ctypes
import posix

from quickthaw.errors import Declined
from quickthaw.snapshot import pages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LZ4F_VERSION = 100  # lz4frame.h
_SLACK = 64  # block header, checksum, next header; more than a hint ever asks above a block


class FrameDecoder:
    """Decodes one page file.

    Args:
        library: path of liblz4.so.1.
        path: the page file.

    Raises:
        Declined: the library or the file cannot be opened.
        BadSnapshot: the file's index is damaged.
    """

    def __init__(self, library: str, path: str) -> None:
        self.path = path
        try:
            self._lz4 = ctypes.CDLL(library)
            self._fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
        except OSError as error:
            raise Declined(f"cannot decode {path}: {error}") from error
        self._lz4.LZ4F_decompress.restype = ctypes.c_size_t
        self._lz4.LZ4F_isError.argtypes = [ctypes.c_size_t]
        self._lz4.LZ4F_getErrorName.argtypes = [ctypes.c_size_t]
        self._lz4.LZ4F_getErrorName.restype = ctypes.c_char_p
        self.index = pages.read_index(self._fd, path)
        posix.posix_fadvise(self._fd, 0, 0, posix.POSIX_FADV_WILLNEED)
        self._context = ctypes.c_void_p()
        self._check(self._lz4.LZ4F_createDecompressionContext(ctypes.byref(self._context), _LZ4F_VERSION), 0)
        self.bytes_read = 0

    def blocks(self, buffer: Callable[[], bytearray]) -> Iterator[tuple[bytearray, int]]:
        """Every block in order, as (buffer, bytes in it).

        Args:
            buffer: gives a bytearray of at least `index.block_size` bytes for the next block.

        Raises:
            Declined: a block does not decode, its checksum does not fit, or the file ends too soon.
        """
        source = ctypes.create_string_buffer(self.index.block_size + _SLACK)
        window = memoryview(source).cast("B")
        # Not the file's own header: that one announces a content checksum, see `pages.header`.
        window[: pages.HEADER_SIZE] = pages.header(
            self.index.block_size, self.index.content_size, content_checksum=False
        )
        posix.lseek(self._fd, pages.HEADER_SIZE, 0)  # SEEK_SET
        got, total, number = pages.HEADER_SIZE, 0, 0
        target = buffer()
        address = (ctypes.c_char * len(target)).from_buffer(target)
        wanted = 1
        while wanted:
            used = 0
            while used < got and wanted:
                produced = ctypes.c_size_t(len(target))
                consumed = ctypes.c_size_t(got - used)
                wanted = self._check(
                    self._lz4.LZ4F_decompress(
                        self._context,
                        address,
                        ctypes.byref(produced),
                        ctypes.byref(source, used),
                        ctypes.byref(consumed),
                        None,
                    ),
                    number,
                )
                used += consumed.value
                if produced.value:
                    total += produced.value
                    number += 1
                    yield target, produced.value
                    target = buffer()
                    address = (ctypes.c_char * len(target)).from_buffer(target)
                elif not consumed.value:
                    raise Declined(f"{self.path}: liblz4 makes no progress at block {number}")
            if wanted:
                got = posix.readv(self._fd, [window[: min(wanted, len(window))]])
                if got == 0:
                    raise Declined(f"{self.path} ends inside block {number}")
                self.bytes_read += got
        if total != self.index.content_size:
            raise Declined(f"{self.path} holds {total} bytes of pages, not {self.index.content_size}")

    def _check(self, code: int, number: int) -> int:
        if self._lz4.LZ4F_isError(code):
            name = self._lz4.LZ4F_getErrorName(code).decode()
            raise Declined(f"{self.path}, block {number}: {name}")
        return code

    def close(self) -> None:
        """Gives back the file and liblz4's context."""
        self._lz4.LZ4F_freeDecompressionContext(self._context)
        posix.close(self._fd)


def write_all(fd: int, data: memoryview) -> None:
    """write(2) until all is written.

    Raises:
        OSError: as write(2), ENOSPC and EPIPE above all.
    """
    while data:
        data = data[posix.write(fd, data) :]
