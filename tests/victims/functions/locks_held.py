"""Locks that are held: by the main thread, by a worker, re-entrant and not, and a condition's."""

import threading
from typing import Any

SAME = ("held", "owned", "other", "free")

LOCK, RLOCK, CONDITION = threading.Lock(), threading.RLock(), threading.Condition()
LOCK.acquire()
RLOCK.acquire()
RLOCK.acquire()
OTHER, HELD, GO, DONE = threading.RLock(), threading.Event(), threading.Event(), threading.Event()


def _hold() -> None:
    with OTHER:
        HELD.set()
        GO.wait()
    DONE.set()


threading.Thread(target=_hold, daemon=True).start()
HELD.wait()


def handler(event: Any, context: Any) -> dict[str, Any]:
    held = [LOCK.locked(), LOCK.acquire(blocking=False)]
    owned = RLOCK._is_owned()  # type: ignore[attr-defined]
    other = OTHER.acquire(blocking=False)
    if other:
        OTHER.release()
    if event["call"] == 1:
        RLOCK.release()
        GO.set()
        assert DONE.wait(10)
    with CONDITION:
        CONDITION.notify_all()
    free = OTHER.acquire(timeout=5)
    if free:
        OTHER.release()
    return {
        "held": held,
        "owned": owned,
        "other": other,
        "free": free,
    }
