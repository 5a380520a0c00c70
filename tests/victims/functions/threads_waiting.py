"""Threads that wait for an event, a condition, a barrier, a lock and a semaphore, with their own values."""

import threading
from typing import Any

SAME = ("woken", "names", "locals", "held")
PYTHONS = ("3.12", "3.13")

EVENT, CONDITION, BARRIER = threading.Event(), threading.Condition(), threading.Barrier(2)
LOCK, SEMAPHORE = threading.Lock(), threading.Semaphore(0)
LOCAL = threading.local()
LOCK.acquire()
STARTED = threading.Barrier(6)
WOKEN: dict[str, str] = {}
DONE = threading.Semaphore(0)


def _work(name: str) -> None:
    LOCAL.value = f"of {name}"
    STARTED.wait()
    if name == "event":
        EVENT.wait()
    elif name == "condition":
        with CONDITION:
            CONDITION.wait_for(EVENT.is_set)
    elif name == "barrier":
        BARRIER.wait()
    elif name == "lock":
        LOCK.acquire()
        LOCK.release()
    else:
        SEMAPHORE.acquire()
    WOKEN[name] = LOCAL.value
    DONE.release()


NAMES = ("event", "condition", "barrier", "lock", "semaphore")
THREADS = [threading.Thread(target=_work, args=(name,), name=f"waits-{name}", daemon=True) for name in NAMES]
for thread in THREADS:
    thread.start()
STARTED.wait()


def handler(event: Any, context: Any) -> dict[str, Any]:
    if event["call"] == 1:
        held = LOCK.locked()
        EVENT.set()
        with CONDITION:
            CONDITION.notify_all()
        BARRIER.wait(10)
        LOCK.release()
        SEMAPHORE.release()
        for _ in NAMES:
            assert DONE.acquire(timeout=10), f"only {sorted(WOKEN)} woke up"
        for thread in THREADS:
            thread.join(10)
    else:
        held = LOCK.locked()
    return {
        "woken": sorted(WOKEN),
        "names": [t.name for t in THREADS],
        "locals": sorted(WOKEN.values()),
        "held": held,
    }
