"""CRIU and the thread that feeds it, each on processors of its own while both work.

Left to the scheduler, they are put on one processor for milliseconds at a time:
a task that runs is not moved, and one that has just run is moved late.  Measured
with two processors, the first answer in mode `grow`: 120 ms with a wide spread,
90 with a narrow one (106 where the thread alone was bound).

A child inherits its parent's processors and CRIU does not dump them, so the
restored process would keep to CRIU's: before it wakes it gets all of ours.
"""

from __future__ import annotations

import posix


class Processors:
    """Which processors are whose.

    Args:
        apart: False leaves all to the scheduler.
    """

    def __init__(self, *, apart: bool) -> None:
        self._all = posix.sched_getaffinity(0)
        self._feed = {max(self._all)}
        self._criu = self._all - self._feed
        self._apart = apart and bool(self._criu)  # one processor cannot be shared out
        self._bound = False  # whether CRIU is, and with it what it restores

    def take_feed(self) -> None:
        """Binds the calling thread to the feed's."""
        if self._apart:
            _bind(self._feed)

    def take_criu(self) -> None:
        """Binds the calling thread to CRIU's: what it starts inherits them."""
        self._bound = self._apart and _bind(self._criu)

    def take_all(self) -> None:
        """Frees the calling thread again."""
        if self._bound:
            _bind(self._all)

    def give_all(self, pid: int) -> None:
        """Every thread of the restored process gets what this process was given.

        Raises:
            OSError: it cannot be done, and the process would stay on less.
        """
        if self._bound:
            for tid in posix.listdir(f"/proc/{pid}/task"):
                posix.sched_setaffinity(int(tid), self._all)


def _bind(which: set[int]) -> bool:
    """False where that is not permitted: it is only for speed."""
    try:
        posix.sched_setaffinity(0, which)
    except OSError:
        return False
    return True
