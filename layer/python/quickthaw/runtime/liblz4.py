"""The functions of liblz4 that a thaw calls, without the `ctypes` package.

`ctypes` is a Python layer over `_ctypes`, and importing it takes 4 to 8 ms, in
front of the first byte that is decoded.  What is needed of it are three types
and a way to call; that much of `_ctypes` has been the same from Python 3.11 to
3.13 (CPython, Lib/ctypes/__init__.py).
"""

from __future__ import annotations

import _ctypes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FRAME_VERSION = 100  # lz4frame.h, LZ4F_VERSION
_RTLD_NOW = 2


class _Size(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "L"  # size_t, on every 64-bit Linux


class _Pointer(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "P"


class _Char(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "c"


class _Text(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "z"


class _SizeFunction(_ctypes.CFuncPtr):
    _flags_ = _ctypes.FUNCFLAG_CDECL
    _restype_ = _Size


class _TextFunction(_ctypes.CFuncPtr):
    _flags_ = _ctypes.FUNCFLAG_CDECL
    _restype_ = _Text


class Frames:
    """A decompression context of liblz4.

    Args:
        path: of liblz4.so.1.

    Raises:
        OSError: the library cannot be loaded, or is not liblz4.
    """

    def __init__(self, path: str) -> None:
        library = _ctypes.dlopen(path, _RTLD_NOW)
        self._decompress = _SizeFunction(_ctypes.dlsym(library, "LZ4F_decompress"))
        self._is_error = _SizeFunction(_ctypes.dlsym(library, "LZ4F_isError"))
        self._is_error.argtypes = [_Size]
        self._error_name = _TextFunction(_ctypes.dlsym(library, "LZ4F_getErrorName"))
        self._error_name.argtypes = [_Size]
        self._free = _SizeFunction(_ctypes.dlsym(library, "LZ4F_freeDecompressionContext"))
        self._context = _Pointer()
        # Made once: for each block they would cost a tenth of the decode.
        self._produced, self._consumed = _Size(), _Size()
        self._produced_at = _ctypes.byref(self._produced)
        self._consumed_at = _ctypes.byref(self._consumed)
        create = _SizeFunction(_ctypes.dlsym(library, "LZ4F_createDecompressionContext"))
        create(_ctypes.byref(self._context), FRAME_VERSION)

    def decompress(self, target: Any, room: int, source: Any, offset: int, size: int) -> tuple[int, int, int]:
        """LZ4F_decompress.

        Args:
            target: from `view`, where to.
            room: bytes there.
            source: from `view`, what to decode.
            offset: where in it.
            size: how many bytes of it.

        Returns:
            Bytes produced, bytes consumed, and how many liblz4 would like next (0: the frame has ended).

        Raises:
            ValueError: damaged; the text is liblz4's name of the error.
        """
        self._produced.value, self._consumed.value = room, size
        wanted: int = self._decompress(
            self._context, target, self._produced_at, _ctypes.byref(source, offset), self._consumed_at, None
        )
        if self._is_error(wanted):
            raise ValueError(self._error_name(wanted).decode())
        return self._produced.value, self._consumed.value, wanted

    def close(self) -> None:
        """Gives back liblz4's memory."""
        self._free(self._context)


def view(memory: bytearray) -> Any:
    """A bytearray as C sees it; it cannot be resized while this exists."""
    return (_Char * len(memory)).from_buffer(memory)
