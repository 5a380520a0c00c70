"""The garbage collector: what exists at the freeze is out of its sight until the first full collection.

A full collection writes a word into every container object, and so faults in a
copy of nearly every page of the heap.  gc.freeze() spares a thaw that, as most
environments never see a full collection; but objects that are frozen are never
collected.  So the first full collection, by itself or by gc.collect(), takes
them back before it begins, and from there on the collector works as in a
fresh process, at the price of a fresh process.

Where the function froze objects itself they stay frozen: nobody knows which
were its own.
"""

from __future__ import annotations

import contextlib
import gc
from typing import Any, Literal

from quickthaw.runtime.renewal import heap


def settle() -> None:
    """Drops garbage and moves what is left out of sight; call right before the dump, again if need be."""
    own = _take_back not in gc.callbacks and heap.frozen()
    gc.collect()
    gc.freeze()
    if not own:
        with contextlib.suppress(ValueError):
            gc.callbacks.remove(_take_back)
        gc.callbacks.append(_take_back)


def _take_back(phase: Literal["start", "stop"], info: dict[str, Any]) -> None:
    if phase != "start" or info["generation"] != 2:
        return
    gc.unfreeze()
    place = gc.callbacks.index(_take_back)
    del gc.callbacks[place]
    # The collector goes through the list by numbers, and would pass over the one that moved up.
    for following in gc.callbacks[place : place + 1]:
        following(phase, info)
