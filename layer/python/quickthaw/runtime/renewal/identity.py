"""Who the process is and where: ids of the kernel, the time zone."""

from __future__ import annotations

import gc
import itertools
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
    known = threading.enumerate()  # first: a thread that starts later knows its own
    numbers = native_ids()
    for thread in known:
        if thread.ident in numbers and hasattr(thread, "_native_id"):
            thread._native_id = numbers[thread.ident]


def native_ids() -> dict[int, int]:
    """The kernel's id of every thread that is in Python code, by its ident.

    The number of a thread's CPU clock is made of it (clock_getcpuclockid(3): the complement, shifted
    by 3, and bits for the kind).  Asking reads the thread's own record, which goes with the thread, and
    a thread can end whenever the interpreter's lock is given up.  So everything from the list of threads
    to the last of them is one call into C, and no collection runs finalizers in between.  (A foreign
    thread that is not in Python code may have ended without a word: it has no frame.)
    """
    frames = itertools.islice(iter(sys._current_frames, None), 1)
    threads, asked = itertools.tee(itertools.chain.from_iterable(frames))
    pairs = zip(threads, map(time.pthread_getcpuclockid, asked), strict=True)
    collects = gc.isenabled()
    gc.disable()
    try:
        clocks = dict(pairs)
    finally:
        if collects:
            gc.enable()
    return {thread: ~(clock >> 3) for thread, clock in clocks.items()}


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
