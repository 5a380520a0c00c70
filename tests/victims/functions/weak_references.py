"""Weak references, finalizers and cycles: what was alive stays alive, what is dropped later is finalized."""

import gc
import weakref
from typing import Any

SAME = ("alive", "finalized", "mapping", "atexit")

FINALIZED: list[str] = []


class Node:
    def __init__(self, name: str) -> None:
        self.name = name
        self.other: Node | None = None
        weakref.finalize(self, FINALIZED.append, name).atexit = False


KEPT = Node("kept")
DROPPED: list[Node] = [Node("dropped")]
CYCLE: list[Node] = [Node("cycle")]
CYCLE[0].other = CYCLE[0]
REFERENCE = weakref.ref(KEPT)
MAPPING: "weakref.WeakValueDictionary[str, Node]" = weakref.WeakValueDictionary(kept=KEPT, dropped=DROPPED[0])
_gone = Node("gone before the freeze")
del _gone


def handler(event: Any, context: Any) -> dict[str, Any]:
    DROPPED.clear()
    if event["call"] == 2:
        CYCLE.clear()
        gc.collect()
    return {
        "alive": REFERENCE() is KEPT,
        "finalized": sorted(FINALIZED),
        "mapping": sorted(MAPPING),
        "atexit": weakref.getweakrefcount(KEPT) > 0,
    }
