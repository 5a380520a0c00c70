"""System V semaphores, a message queue and a segment that is not attached."""

import ctypes
from typing import Any

REFUSED = r"(?s)System V shared memory.*System V semaphores.*System V message queue"
LIBC = ctypes.CDLL(None, use_errno=True)
SEGMENT = LIBC.shmget(0x51, ctypes.c_size_t(4096), 0o1600)
SEMAPHORES = LIBC.semget(0x52, 3, 0o1600)
QUEUE = LIBC.msgget(0x53, 0o1600)
# Lambda's filter refuses them: -1 there, and in a cold start here.


def handler(event: Any, context: Any) -> Any: ...
