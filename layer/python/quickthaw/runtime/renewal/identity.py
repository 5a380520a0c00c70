"""Who the process is and where: ids of the kernel, the time zone."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any


def renew() -> None:
    """Thread ids and the time zone are the new ones, and multiprocessing knows the new pid for its own."""
    _threads()
    _process()
    time.tzset()


def _threads() -> None:
    """Every thread's `native_id`."""
    running = sys._current_frames()  # a foreign thread's object outlives it, and its ident must not be asked
    for thread in threading.enumerate():
        if thread.ident in running and hasattr(thread, "_native_id"):
            thread._native_id = native_id(thread.ident)


def native_id(thread: int) -> int:
    """The kernel's id of a running thread, asked for from another one.

    The number of a thread's CPU clock is made of it (clock_getcpuclockid(3): the complement, shifted
    by 3, and bits for the kind).
    """
    return ~(time.pthread_getcpuclockid(thread) >> 3)


def _process() -> None:
    """multiprocessing takes another pid for a fork: it drops finalizers and refuses to free shared blocks.

    Libraries that open their connections anew after a fork (redis, pymongo) may go on believing in one.
    """
    util: Any = sys.modules.get("multiprocessing.util")
    if util is not None:
        for finalizer in list(util._finalizer_registry.values()):
            finalizer._pid = os.getpid()
    heap: Any = sys.modules.get("multiprocessing.heap")
    if heap is not None:
        heap.BufferWrapper._heap._lastpid = os.getpid()
