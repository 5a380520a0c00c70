"""An inotify descriptor with a watch."""

import ctypes
from typing import Any

REFUSED = r"descriptor \d+: anon_inode:inotify, which cannot be restored"
LIBC = ctypes.CDLL(None)
FD = LIBC.inotify_init()
LIBC.inotify_add_watch(FD, b"/var/task", 0xFFF)


def handler(event: Any, context: Any) -> Any: ...
