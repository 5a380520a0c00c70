"""Logging: handlers with buffers and queues, a listener's thread, filters, and the ids in each record."""

import io
import logging
import logging.handlers
import os
import queue
import threading
from typing import Any

SAME = ("stream", "buffered", "queued", "ids", "level")

LOGGER = logging.getLogger("victim")
LOGGER.setLevel(logging.DEBUG)
LOGGER.propagate = False
STREAM = io.StringIO()
BUFFER = logging.handlers.MemoryHandler(100, target=logging.StreamHandler(STREAM))
BUFFER.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
LISTENED: list[str] = []


class _Keep(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        LISTENED.append(record.getMessage())
        HEARD.release()


HEARD = threading.Semaphore(0)
QUEUE: "queue.Queue[Any]" = queue.Queue()
LISTENER = logging.handlers.QueueListener(QUEUE, _Keep())
LISTENER.start()
LOGGER.addHandler(BUFFER)
LOGGER.addHandler(logging.handlers.QueueHandler(QUEUE))
LOGGER.debug("at import")
HEARD.acquire()


def handler(event: Any, context: Any) -> dict[str, Any]:
    waiting = len(BUFFER.buffer)
    LOGGER.warning("call %d", event["call"])
    assert HEARD.acquire(timeout=10)
    BUFFER.flush()
    record = LOGGER.makeRecord("victim", logging.INFO, __file__, 1, "text", (), None)
    return {
        "stream": STREAM.getvalue(),
        "buffered": waiting,
        "queued": LISTENED,
        "ids": [record.process == os.getpid(), record.thread == threading.main_thread().ident],
        "level": LOGGER.getEffectiveLevel(),
    }
