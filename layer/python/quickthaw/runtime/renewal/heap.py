"""Every object that the garbage collector knows of, looked at once, at the freeze."""

from __future__ import annotations

import gc
import sys
from typing import Any

_IMMORTAL = 1 << 30  # references; immortal objects (PEP 683) have more than that, whatever the version


def objects() -> list[Any]:
    """All of them, also those that the function moved out of sight with gc.freeze(), as it should."""
    return _unfrozen()[0]


def frozen() -> bool:
    """Whether the function has called gc.freeze(), whatever the collector itself has put aside."""
    return _unfrozen()[1]


def instances(of: type | tuple[type, ...]) -> list[Any]:
    """Those of a class; by their type, because asking an object for `__class__` may run its code."""
    return [thing for thing in objects() if issubclass(type(thing), of)]


def _unfrozen() -> tuple[list[Any], bool]:
    count = gc.get_freeze_count()
    if not count:
        return gc.get_objects(), False
    gc.unfreeze()
    by_function = True
    try:
        found = gc.get_objects()
        # From Python 3.12 on a collection puts immortal objects beside the frozen ones.
        by_function = count > sum(sys.getrefcount(thing) > _IMMORTAL for thing in found)
        return found, by_function
    finally:
        if by_function:
            gc.freeze()
