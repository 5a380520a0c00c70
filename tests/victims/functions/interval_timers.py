"""Interval timers of all three kinds, an alarm that rings soon and POSIX timers made in C."""

import ctypes
import signal
import time
from typing import Any

SAME = ("hour", "rang", "virtual", "posix")

RANG: list[str] = []
signal.signal(signal.SIGALRM, lambda *_: RANG.append("alarm"))
signal.signal(signal.SIGVTALRM, lambda *_: RANG.append("virtual"))
signal.signal(signal.SIGUSR1, lambda *_: RANG.append("posix"))
signal.setitimer(signal.ITIMER_REAL, 0.6, 3600)
signal.setitimer(signal.ITIMER_VIRTUAL, 3600, 3600)


class _Event(ctypes.Structure):
    _fields_ = [
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("pad", ctypes.c_int * 12),
    ]


class _Spec(ctypes.Structure):
    _fields_ = [("interval", ctypes.c_long * 2), ("value", ctypes.c_long * 2)]


LIBC = ctypes.CDLL(None, use_errno=True)
TIMER = ctypes.c_void_p()
assert LIBC.timer_create(1, ctypes.byref(_Event(None, signal.SIGUSR1, 0)), ctypes.byref(TIMER)) == 0
_HOUR = _Spec((ctypes.c_long * 2)(3600, 0), (ctypes.c_long * 2)(0, 600_000_000))
assert LIBC.timer_settime(TIMER, 0, ctypes.byref(_HOUR), None) == 0


def handler(event: Any, context: Any) -> dict[str, Any]:
    deadline = time.monotonic() + 10
    while not {"alarm", "posix"} <= set(RANG) and time.monotonic() < deadline:
        time.sleep(0.01)
    left = signal.getitimer(signal.ITIMER_REAL)
    spec = _Spec()
    assert LIBC.timer_gettime(TIMER, ctypes.byref(spec)) == 0
    return {
        "hour": 0 < left[0] <= 3600 and left[1] == 3600,
        "rang": sorted(set(RANG)),
        "virtual": 3590 < signal.getitimer(signal.ITIMER_VIRTUAL)[0] < 3601,
        "posix": [0 < spec.value[0] <= 3600, spec.interval[0]],
    }
