"""Anonymous memory, private and shared: large, sparse, read-only, reserved, and seen twice."""

import ctypes
import mmap
import zlib
from typing import Any

SAME = ("private", "shared", "sparse", "protected", "reserved", "writable")
PYTHONS = ("3.12", "3.13")
MODES = ("async", "sync", "plain")

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
PRIVATE = mmap.mmap(-1, 1 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
PRIVATE.write(bytes(range(256)) * 4096)
SHARED = mmap.mmap(-1, 1 << 20)
SHARED[5000:5005] = b"bytes"
SPARSE = mmap.mmap(-1, 256 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for _page in range(0, 256 << 20, 16 << 20):
    SPARSE[_page] = 1 + (_page >> 24)
PROTECTED = LIBC.mmap(None, ctypes.c_size_t(8192), 3, 0x22, -1, ctypes.c_long(0))
ctypes.memset(PROTECTED, 0x5A, 8192)
assert LIBC.mprotect(ctypes.c_void_p(PROTECTED), ctypes.c_size_t(4096), 1) == 0
RESERVED = LIBC.mmap(None, ctypes.c_size_t(32 << 30), 0, 0x4022, -1, ctypes.c_long(0))


def _permissions(address: int) -> str:
    with open("/proc/self/maps") as maps:
        for line in maps:
            span, permissions = line.split()[:2]
            start, end = (int(word, 16) for word in span.split("-"))
            if start <= address < end:
                return permissions
    return "gone"


def handler(event: Any, context: Any) -> dict[str, Any]:
    assert LIBC.mprotect(ctypes.c_void_p(RESERVED), ctypes.c_size_t(4096), 3) == 0
    ctypes.memset(RESERVED, event["call"], 4096)
    SHARED[0] = event["call"]
    return {
        "private": zlib.crc32(PRIVATE),
        "shared": SHARED[5000:5005].decode(),
        "sparse": [SPARSE[page] for page in range(0, 256 << 20, 16 << 20)],
        "protected": [_permissions(PROTECTED), _permissions(PROTECTED + 4096)],
        "reserved": _permissions(RESERVED + 4096),
        "writable": ctypes.string_at(RESERVED, 1)[0],
    }
