"""What the process gave up or asked for with prctl: a timer's slack, being its descendants' parent."""

import ctypes
from typing import Any

SAME = ("dumpable", "slack", "reaper", "privileges")

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
LIBC.prctl(29, 200_000, 0, 0, 0)  # PR_SET_TIMERSLACK, ns


def handler(event: Any, context: Any) -> dict[str, Any]:
    reaper = ctypes.c_int()
    LIBC.prctl(37, ctypes.byref(reaper), 0, 0, 0)
    return {
        "dumpable": LIBC.prctl(3, 0, 0, 0, 0),
        "slack": LIBC.prctl(30, 0, 0, 0, 0),
        "reaper": reaper.value,
        "privileges": LIBC.prctl(39, 0, 0, 0, 0),
    }
