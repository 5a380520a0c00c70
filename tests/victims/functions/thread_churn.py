"""Threads that start and end all the time, also at the moment of the freeze."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

SAME = ("alive", "counted", "pool")

COUNT = [0]
STOP = threading.Event()


def _add() -> None:
    COUNT[0] += 1


def _churn() -> None:
    while not STOP.is_set():
        threads = [threading.Thread(target=_add) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


CHURN = threading.Thread(target=_churn, daemon=True)
CHURN.start()


def handler(event: Any, context: Any) -> dict[str, Any]:
    alive, before = CHURN.is_alive(), COUNT[0]
    while event["call"] == 1 and COUNT[0] < before + 30:
        CHURN.join(0.001)
    STOP.set()
    CHURN.join(10)
    with ThreadPoolExecutor(20) as pool:
        done = sum(pool.map(lambda number: number, range(100)))
    return {"alive": alive if event["call"] == 1 else True, "counted": COUNT[0] > 0, "pool": done}
