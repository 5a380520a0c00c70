"""A ring of io_uring."""

import ctypes
from typing import Any

REFUSED = r"descriptor \d+: anon_inode:\[io_uring\], which cannot be restored"
LIBC = ctypes.CDLL(None, use_errno=True)
FD = LIBC.syscall(425, 4, bytes(120))
assert FD >= 0, ctypes.get_errno()


def handler(event: Any, context: Any) -> Any: ...
