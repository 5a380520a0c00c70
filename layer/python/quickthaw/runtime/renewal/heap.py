"""Every object that the garbage collector knows of, looked at once, at the freeze."""

from __future__ import annotations

import gc
from typing import Any


def objects() -> list[Any]:
    """All of them, also those that the function moved out of sight with gc.freeze(), as it should."""
    frozen = gc.get_freeze_count() > 0
    if frozen:
        gc.unfreeze()
    try:
        return gc.get_objects()
    finally:
        if frozen:
            gc.freeze()


def instances(of: type | tuple[type, ...]) -> list[Any]:
    """Those of a class; by their type, because asking an object for `__class__` may run its code."""
    return [thing for thing in objects() if issubclass(type(thing), of)]
