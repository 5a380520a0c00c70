"""System V shared memory that is attached."""

import ctypes
from typing import Any

REFUSED = r"System V shared memory"
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.shmat.restype = ctypes.c_void_p
SEGMENT = LIBC.shmget(0, ctypes.c_size_t(4096), 0o1600)
ADDRESS = LIBC.shmat(SEGMENT, None, 0)
assert SEGMENT >= 0 and ADDRESS


def handler(event: Any, context: Any) -> Any: ...
