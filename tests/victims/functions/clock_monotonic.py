"""Clocks that never go back, read at import through references taken at import."""

import time
from time import monotonic, monotonic_ns, perf_counter, perf_counter_ns
from typing import Any

SAME = ("forward", "sane")

READ = [monotonic(), monotonic_ns() / 1e9, perf_counter(), perf_counter_ns() / 1e9]
READ.append(time.clock_gettime(time.CLOCK_MONOTONIC))
READ.append(time.clock_gettime(time.CLOCK_BOOTTIME))
READ.append(time.clock_gettime(time.CLOCK_MONOTONIC_RAW))


def handler(event: Any, context: Any) -> dict[str, Any]:
    now = [monotonic(), monotonic_ns() / 1e9, perf_counter(), perf_counter_ns() / 1e9]
    now.append(time.clock_gettime(time.CLOCK_MONOTONIC))
    now.append(time.clock_gettime(time.CLOCK_BOOTTIME))
    now.append(time.clock_gettime(time.CLOCK_MONOTONIC_RAW))
    began = monotonic()
    time.sleep(0.01)
    slept = monotonic() - began
    return {
        "forward": [later >= sooner for sooner, later in zip(READ, now, strict=True)],
        "sane": 0.009 < slept < 5,
    }
