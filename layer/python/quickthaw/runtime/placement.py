"""CRIU and the thread that feeds it, each on a processor of its own while both work.

Left to the scheduler, they are put on one processor for milliseconds at a time:
a task that runs is not moved, and one that has just run is moved late.  Measured
with two processors, the first answer in mode `grow`: 120 ms with a wide spread,
90 with a narrow one (106 where the thread alone was bound).  With more than two
there is an idle one to move to, and other starts may be about: nothing is bound.

A child inherits its parent's processors and CRIU does not dump them, so what it
restores would keep to CRIU's: the wake context says so, and the process frees
its threads itself (`settings.unbind`), which asks for no privilege.
"""

from __future__ import annotations

import posix

_TWO = 2


class Placement:
    """Which processor is whose.

    Attributes:
        bound: what CRIU was bound to, and with it what it restores; empty: to nothing.
        all: what this process was given.

    Args:
        apart: False leaves all to the scheduler.
    """

    def __init__(self, *, apart: bool) -> None:
        self.bound: set[int] = set()
        self.all = posix.sched_getaffinity(0)
        self._apart = apart and len(self.all) == _TWO

    def take_feed(self) -> None:
        """Binds the calling thread to the feed's."""
        if self._apart:
            _bind({max(self.all)})

    def take_criu(self) -> None:
        """Binds the calling thread to CRIU's: what it starts inherits it."""
        if self._apart and _bind({min(self.all)}):
            self.bound = {min(self.all)}

    def found_criu(self, where: set[int]) -> None:
        """CRIU was given its processors by who started it."""
        if where != self.all:
            self.bound = where

    def take_all(self) -> None:
        """Frees the calling thread again."""
        if self.bound:
            _bind(self.all)


def leave_to_criu(bound: set[int]) -> None:
    """Keeps the calling thread off what CRIU was given, if that is not all."""
    others = posix.sched_getaffinity(0) - bound
    if others:
        _bind(others)


def _bind(which: set[int]) -> bool:
    """False where that is not permitted: it is only for speed."""
    try:
        posix.sched_setaffinity(0, which)
    except OSError:
        return False
    return True
