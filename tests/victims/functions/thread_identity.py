"""Threads by their names and numbers: Python's numbers stay, the kernel's are those of the new process."""

import ctypes
import threading
from typing import Any

SAME = ("main", "worker", "known", "kernel")

LIBC = ctypes.CDLL(None)
ASK, ANSWER = threading.Semaphore(0), threading.Semaphore(0)
SEEN: list[tuple[int, int, int]] = []


def _work() -> None:
    while True:
        ASK.acquire()
        SEEN.append((threading.get_ident(), threading.get_native_id(), LIBC.gettid()))
        ANSWER.release()


WORKER = threading.Thread(target=_work, name="worker", daemon=True)
WORKER.start()
IDENTITY = (threading.get_ident(), WORKER.ident)


def handler(event: Any, context: Any) -> dict[str, Any]:
    SEEN.clear()
    ASK.release()
    assert ANSWER.acquire(timeout=10)
    identity, number, kernel = SEEN[0]
    main = threading.main_thread()
    return {
        "main": [main.ident == IDENTITY[0], main.native_id == threading.get_native_id() == LIBC.gettid()],
        "worker": [WORKER.ident == IDENTITY[1] == identity, WORKER.is_alive()],
        "known": sorted(thread.name for thread in threading.enumerate()),
        "kernel": [number == kernel, WORKER.native_id == kernel],
    }
