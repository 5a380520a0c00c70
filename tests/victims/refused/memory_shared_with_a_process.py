"""Shared memory that another process, which is nobody's child, has mapped too."""

import mmap
import os
import signal
from typing import Any

REFUSED = r"process, started by this function and left, \d+"
MEMORY = mmap.mmap(-1, 4096)
CHILD = os.fork()
if CHILD == 0:
    if os.fork() == 0:
        MEMORY[0] = 1
        os.closerange(0, 1024)
        signal.pause()
    os._exit(0)
os.waitpid(CHILD, 0)
while not MEMORY[0]:
    os.sched_yield()


def handler(event: Any, context: Any) -> Any: ...
