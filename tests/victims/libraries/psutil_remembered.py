"""A psutil process object of the function itself, made at import, asked after the thaw."""

from typing import Any

import psutil

SAME = ("memory", "running")
BROKEN = "an object made at import is of another process: its pid, its start"

PROCESS = psutil.Process()


def handler(event: Any, context: Any) -> dict[str, Any]:
    return {"memory": PROCESS.memory_info().rss > 1 << 20, "running": PROCESS.is_running()}
