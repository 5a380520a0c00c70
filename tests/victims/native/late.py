"""Everything about itself that a process can change and that outlives exec."""

import ctypes
import fcntl
import os
import signal
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

PR_SET_PDEATHSIG = 1
SIGEV_THREAD_ID = 4
GONE = "/tmp/site/gone"
held: dict[str, Any] = {}


def hold() -> None:
    """Directory, umask, timers, signals, descriptors that a child inherits."""
    os.chdir(GONE)
    os.umask(0o027)
    for ignored in (signal.SIGUSR1, signal.SIGHUP, signal.SIGALRM):
        signal.signal(ignored, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    signal.setitimer(signal.ITIMER_VIRTUAL, 3600, 5)
    signal.setitimer(signal.ITIMER_PROF, 3600, 7)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGWINCH, 0, 0, 0)
    _notify(threading.get_native_id())
    null = os.open("/dev/null", os.O_RDWR)
    for number in range(3, 12):
        if number != null:
            os.dup2(null, number)
    os.set_inheritable(null, True)
    held["locked"] = open("/tmp/locked", "w")  # noqa: SIM115 - stays open
    fcntl.flock(held["locked"], fcntl.LOCK_EX)


def _notify(thread: int) -> None:
    """A timer that signals one thread, far ahead."""
    libc, made = ctypes.CDLL(None), ctypes.c_void_p()
    event = struct.pack("QiiI44x", 0, signal.SIGRTMIN + 3, SIGEV_THREAD_ID, thread)
    assert libc.timer_create(time.CLOCK_MONOTONIC, event, ctypes.byref(made)) == 0
    assert libc.timer_settime(made, 0, struct.pack("qqqq", 0, 0, 3600, 0), None) == 0


def _notified() -> int:
    with open("/proc/self/timers") as timers:
        return next(int(line.rpartition(".")[2]) for line in timers if line.startswith("notify: signal/tid."))


def check() -> Iterator[tuple[str, str | None]]:
    """Whether it is all there again."""
    mask = os.umask(0o027)
    found = {
        "directory": os.getcwd() == GONE,
        "umask": mask == 0o027,
        "timers": [round(signal.getitimer(number)[1], 2) for number in (0, 1, 2)] == [0, 5, 7],
        "signal": signal.getsignal(signal.SIGHUP) is signal.SIG_IGN,
        "descriptors": all(os.get_inheritable(number) for number in range(3, 12)),
        "others": sorted(map(int, os.listdir("/proc/self/fd")))[-3:] == [800, 801, 802],
        "timer": _notified() == threading.get_native_id(),
    }
    for item, good in found.items():
        yield item, None if good else "it is not as it was"
