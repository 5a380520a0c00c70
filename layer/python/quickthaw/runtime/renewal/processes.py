"""psutil's objects of the function's own process: made before the freeze, they are of another process.

psutil knows a process by its pid and the time of its start, both of which are
another one after a thaw, and by what it has cached of it.  An object of the
own process becomes what a new one would be, in place.  Objects of other
processes are left alone: those are gone.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from quickthaw.runtime.renewal import heap


def remember() -> list[Any]:
    """The objects; empty unless psutil has been imported."""
    psutil: Any = sys.modules.get("psutil")
    if psutil is None or not hasattr(psutil, "Process"):
        return []
    return [thing for thing in heap.instances(psutil.Process) if getattr(thing, "_pid", None) == os.getpid()]


def renew(found: list[Any]) -> None:
    """At the wake."""
    for thing in found:
        lock = thing.__dict__.get("_lock")  # somebody may hold it
        sys.modules["psutil"].Process._init(thing, os.getpid())
        if lock is not None:
            thing._lock = lock
    remembered = getattr(sys.modules.get("psutil"), "_pmap", None)
    if found and isinstance(remembered, dict):
        remembered.clear()  # what process_iter() has seen, by pid
