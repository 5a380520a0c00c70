"""Settings of the garbage collector, its callbacks, and cycles that were made before it was turned off."""

import gc
from typing import Any

SAME = ("threshold", "enabled", "callbacks", "collected", "debug")

CALLS: list[str] = []
gc.set_threshold(5000, 20, 30)
gc.callbacks.append(lambda phase, info: CALLS.append(phase))
gc.disable()


class _Cycle:
    def __init__(self) -> None:
        self.me = self


def handler(event: Any, context: Any) -> dict[str, Any]:
    CALLS.clear()
    gc.collect()
    for _ in range(100):
        _Cycle()
    return {
        "threshold": gc.get_threshold(),
        "enabled": gc.isenabled(),
        "callbacks": CALLS[:2],
        "collected": gc.collect() >= 100,
        "debug": gc.get_debug(),
    }
