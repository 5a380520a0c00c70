"""A timer years ahead, a timer that rings soon, and a thread that sleeps again and again."""

import threading
import time
from typing import Any

SAME = ("late", "soon", "ticks")

YEARS_S = 10**9  # longer than a machine is up: its clock is another one after a thaw
RANG: list[str] = []
RINGS = threading.Event()
LATE = threading.Timer(YEARS_S, RANG.append, ("late",))
LATE.daemon = True
LATE.start()


def _ring() -> None:
    RANG.append("soon")
    RINGS.set()


SOON = threading.Timer(0.6, _ring)
SOON.daemon = True
SOON.start()
TICKS: list[float] = []


def _tick() -> None:
    while True:
        time.sleep(0.02)
        TICKS.append(time.monotonic())


threading.Thread(target=_tick, daemon=True).start()


def handler(event: Any, context: Any) -> dict[str, Any]:
    seen = len(TICKS)
    assert RINGS.wait(10), "the timer never rang"
    deadline = time.monotonic() + 10
    while len(TICKS) <= seen and time.monotonic() < deadline:
        time.sleep(0.001)
    steps = [later - sooner for sooner, later in zip(TICKS, TICKS[1:], strict=False)]
    assert min(steps, default=0) >= 0, "a thread's clock went back"
    return {"late": LATE.is_alive(), "soon": RANG, "ticks": len(TICKS) > seen}
