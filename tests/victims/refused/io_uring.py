"""A ring of io_uring."""

import ctypes
from typing import Any

REFUSED = r"descriptor \d+: anon_inode:\[io_uring\], which cannot be restored"
LIBC = ctypes.CDLL(None, use_errno=True)
FD = LIBC.syscall(425, 4, bytes(120))
if FD < 0:
    raise OSError(ctypes.get_errno(), "this kernel has no io_uring")


def handler(event: Any, context: Any) -> Any: ...
