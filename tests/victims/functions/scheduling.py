"""The processors that the process chose for itself, and how nice it is to others."""

import os
from typing import Any

SAME = ("processors", "nice", "policy")

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
os.nice(3)


def handler(event: Any, context: Any) -> dict[str, Any]:
    return {
        "processors": len(os.sched_getaffinity(0)),
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "policy": os.sched_getscheduler(0),
    }
