"""Weak references and finalizers: what was alive stays alive, what is dropped later is finalized."""

import weakref
from typing import Any

SAME = ("alive", "finalized", "mapping", "atexit")

FINALIZED: list[str] = []


class Node:
    def __init__(self, name: str) -> None:
        self.name = name
        weakref.finalize(self, FINALIZED.append, name).atexit = False


KEPT = Node("kept")
DROPPED: list[Node] = [Node("dropped")]
REFERENCE = weakref.ref(KEPT)
MAPPING: "weakref.WeakValueDictionary[str, Node]" = weakref.WeakValueDictionary(kept=KEPT, dropped=DROPPED[0])
_gone = Node("gone before the freeze")
del _gone


def handler(event: Any, context: Any) -> dict[str, Any]:
    DROPPED.clear()
    return {
        "alive": REFERENCE() is KEPT,
        "finalized": sorted(FINALIZED),
        "mapping": sorted(MAPPING),
        "atexit": weakref.getweakrefcount(KEPT) > 0,
    }
