"""A userfaultfd."""

import ctypes
from typing import Any

REFUSED = r"descriptor \d+: anon_inode:\[userfaultfd\], which cannot be restored"
LIBC = ctypes.CDLL(None, use_errno=True)
FD = LIBC.syscall(323, 1)
if FD < 0:
    raise OSError(ctypes.get_errno(), "this kernel has no userfaultfd for everybody")


def handler(event: Any, context: Any) -> Any: ...
