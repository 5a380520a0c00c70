"""A process's view of itself through psutil, which was asked at import."""

import os
from typing import Any

import psutil

SAME = ("memory", "threads", "files", "itself")

PROCESS = psutil.Process()
PROCESS.cpu_percent()
psutil.cpu_percent()


def handler(event: Any, context: Any) -> dict[str, Any]:
    fresh = psutil.Process()
    return {
        "memory": fresh.memory_info().rss > 1 << 20,
        "threads": fresh.num_threads() >= 1,
        "files": fresh.num_fds() > 2,
        "itself": fresh.pid == os.getpid(),
    }
