"""A cycle that was made at import and is dropped later: the collector must find it, and its finalizer run."""

import gc
import weakref
from typing import Any

SAME = ("finalized",)
PYTHONS = ("3.12", "3.13")

FINALIZED: list[str] = []


class Node:
    def __init__(self) -> None:
        self.me = self
        weakref.finalize(self, FINALIZED.append, "cycle").atexit = False


CYCLE = [Node()]


def handler(event: Any, context: Any) -> dict[str, Any]:
    CYCLE.clear()
    gc.collect()
    return {"finalized": FINALIZED}
