"""Processor time cached at import: what was used since is never negative."""

import resource
import time
from typing import Any

SAME = ("process", "thread", "usage")
BROKEN = "processor time begins anew in the thawed process"
_sum = sum(number * number for number in range(500_000))  # some time to look back on
PROCESS, THREAD = time.process_time(), time.thread_time()
USAGE = resource.getrusage(resource.RUSAGE_SELF).ru_utime


def handler(event: Any, context: Any) -> dict[str, Any]:
    return {
        "process": time.process_time() >= PROCESS,
        "thread": time.thread_time() >= THREAD,
        "usage": resource.getrusage(resource.RUSAGE_SELF).ru_utime >= USAGE,
    }
