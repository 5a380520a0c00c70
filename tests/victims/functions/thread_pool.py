"""A pool whose threads idle, and a future that is not finished."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

SAME = ("squares", "unfinished", "workers")
LAYOUT = "hot"

POOL = ThreadPoolExecutor(4, thread_name_prefix="pool")
GATE = threading.Barrier(4)
list(POOL.map(lambda _: GATE.wait(), range(4)))
FUTURE: Future[int] = Future()


def handler(event: Any, context: Any) -> dict[str, Any]:
    names = set(POOL.map(lambda _: (GATE.wait(10), threading.current_thread().name)[1], range(4)))
    squares = sum(POOL.map(lambda number: number * number, range(100)))
    return {"squares": squares, "unfinished": not FUTURE.done(), "workers": sorted(names)}
