"""A thread that was frozen a thousand calls deep, and a main stack that was once deep."""

import sys
import threading
from typing import Any

SAME = ("depth", "again", "returned")
PYTHONS = ("3.12", "3.13")

sys.setrecursionlimit(20_000)
DEEP, GO = threading.Event(), threading.Event()
RETURNED: list[int] = []


def _down(depth: int, wait: bool) -> int:
    if depth == 0:
        if wait:
            DEEP.set()
            GO.wait()
        return 0
    return sum([_down(depth - 1, wait), 1])


threading.stack_size(64 << 20)
THREAD = threading.Thread(target=lambda: RETURNED.append(_down(1000, True)), daemon=True)
THREAD.start()
DEEP.wait()
_down(3000, False)


def handler(event: Any, context: Any) -> dict[str, Any]:
    GO.set()
    THREAD.join(10)
    return {"depth": RETURNED, "again": _down(3000, False), "returned": THREAD.is_alive()}
