"""A worker thread that serves a queue, with jobs done before and after."""

import queue
import threading
from typing import Any

SAME = ("answers", "done")

ASKED: "queue.Queue[int]" = queue.Queue()
ANSWERED: "queue.PriorityQueue[tuple[int, int]]" = queue.PriorityQueue()
DONE: list[int] = []


def _serve() -> None:
    while True:
        number = ASKED.get()
        DONE.append(number)
        ANSWERED.put((-number, number * 2))
        ASKED.task_done()


threading.Thread(target=_serve, daemon=True).start()
for job in (1, 2, 3):
    ASKED.put(job)
ASKED.join()


def handler(event: Any, context: Any) -> dict[str, Any]:
    ASKED.put(10 + event["call"])
    answers = [ANSWERED.get(timeout=10)[1] for _ in range(1)]
    ASKED.join()
    return {"answers": answers, "done": DONE}
