"""Memory where the restorer is linked, and where it would like to work."""

import ctypes
from collections.abc import Iterator

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
PLACES = {0x200000: 64 << 10, 0x6000_0000_0000: 1 << 20, 0x6010_0000_0000: 4096}
_FIXED_NOREPLACE = 0x100000


def hold() -> None:
    """Take the places and write to each."""
    for address, size in PLACES.items():
        if libc.mmap(address, size, 3, 0x22 | _FIXED_NOREPLACE, -1, 0) != address:
            raise OSError(ctypes.get_errno(), f"{address:x} is taken")
        ctypes.memset(address, 0x5A, size)


def check() -> Iterator[tuple[str, str | None]]:
    """Are they as they were?"""
    for address, size in PLACES.items():
        good = ctypes.string_at(address, size) == b"\x5a" * size
        yield f"{address:x}", None if good else "other bytes"
