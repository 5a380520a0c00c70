"""A context of the kernel's asynchronous I/O."""

import ctypes
from typing import Any

REFUSED = r"\[aio\]|asynchronous I/O"
LIBC = ctypes.CDLL(None, use_errno=True)
CONTEXT = ctypes.c_ulong(0)
assert LIBC.syscall(206, 8, ctypes.byref(CONTEXT)) == 0


def handler(event: Any, context: Any) -> Any: ...
