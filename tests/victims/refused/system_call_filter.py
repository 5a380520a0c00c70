"""A system call filter that the function put over itself: a thaw without it would be less safe."""

import ctypes
import struct
from typing import Any

REFUSED = r"system call filter"
LIBC = ctypes.CDLL(None, use_errno=True)
_allow = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7FFF0000))


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


LIBC.prctl(38, 1, 0, 0, 0)
LIBC.prctl(22, 2, ctypes.byref(_Program(1, ctypes.addressof(_allow))))  # refused on Lambda


def handler(event: Any, context: Any) -> Any: ...
