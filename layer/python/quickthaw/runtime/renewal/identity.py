"""Who the process is and where: thread ids of the kernel, the time zone."""

from __future__ import annotations

import threading
import time


def renew() -> None:
    """Every thread's `native_id` is the kernel's new one, and local time is that of the new TZ.

    A thread's id can be asked for from outside: its CPU clock's number is made of
    it (clock_getcpuclockid(3): the complement, shifted by 3, and two bits of kind).
    """
    for thread in threading.enumerate():
        if thread.ident is not None and hasattr(thread, "_native_id"):
            thread._native_id = ~(time.pthread_getcpuclockid(thread.ident) >> 3)
    time.tzset()
