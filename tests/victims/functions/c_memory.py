"""State in C: malloc'ed blocks, a callback, thread-local errno, qsort with Python's comparison."""

import ctypes
from typing import Any

SAME = ("blocks", "sorted", "grown", "aligned", "callback")
PYTHONS = ("3.12", "3.13")

LIBC = ctypes.CDLL(None, use_errno=True)
for _name in ("malloc", "realloc", "calloc", "aligned_alloc"):
    getattr(LIBC, _name).restype = ctypes.c_void_p
BLOCKS = [LIBC.malloc(ctypes.c_size_t(size)) for size in (16, 1000, 100_000, 10_000_000)]
for _number, _block in enumerate(BLOCKS):
    ctypes.memset(_block, 65 + _number, 16)
ALIGNED = LIBC.aligned_alloc(ctypes.c_size_t(2 << 20), ctypes.c_size_t(2 << 20))
ctypes.memset(ALIGNED, 7, 2 << 20)
_TYPE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
COMPARE = _TYPE(lambda a, b: b[0] - a[0])


class _Pair(ctypes.Structure):
    _fields_ = [("left", ctypes.c_int), ("right", ctypes.c_int)]


LIBC.div.restype = _Pair
ON_CALL = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_long)(lambda number: number * 2)


def handler(event: Any, context: Any) -> dict[str, Any]:
    numbers = (ctypes.c_int * 6)(3, 1, 4, 1, 5, 9)
    LIBC.qsort(numbers, 6, 4, COMPARE)
    BLOCKS[2] = LIBC.realloc(ctypes.c_void_p(BLOCKS[2]), ctypes.c_size_t(300_000))
    blocks = [ctypes.string_at(block, 3).decode() for block in BLOCKS]
    fresh = [LIBC.calloc(ctypes.c_size_t(1), ctypes.c_size_t(size)) for size in (24, 5000, 200_000)]
    zeros = [ctypes.string_at(block, 24) == bytes(24) for block in fresh]
    for block in fresh:
        LIBC.free(ctypes.c_void_p(block))
    pair = LIBC.div(17, 5)
    return {
        "blocks": blocks,
        "sorted": list(numbers),
        "grown": zeros,
        "aligned": ctypes.string_at(ALIGNED, 2 << 20).count(7),
        "callback": [ON_CALL(21), pair.left, pair.right],
    }
