"""A userfaultfd."""

import ctypes
from typing import Any

REFUSED = r"descriptor \d+: anon_inode:\[userfaultfd\], which cannot be restored"
LIBC = ctypes.CDLL(None, use_errno=True)
FD = LIBC.syscall(323, 1)
assert FD >= 0, ctypes.get_errno()


def handler(event: Any, context: Any) -> Any: ...
