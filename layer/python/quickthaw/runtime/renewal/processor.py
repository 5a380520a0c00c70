"""Processor time never goes back: what the process had used at the freeze is added in the thawed one.

The kernel counts anew.  So from the freeze on a few bytes of machine code
stand where the interpreter imports clock_gettime, getrusage and times (see
`imported`; by them time.process_time and thread_time, resource.getrusage and
os.times ask, from wherever the reference was taken), and add what stands in a
table: nothing before the thaw, and after it what was read last.  The code
notes each result, so that a thread that was busy until the dump finds its own
last reading again, too.  The wake only writes numbers.

Python's threads are known by their pointer, which they keep; one that is started in the
place of an ended one goes on from there, which its differences do not show.  A
fork counts from zero again.

os.times() tells the time since the machine was started as well: it is held up
where this machine is the younger one.

Rejected: putting the code there at the wake (some ten system calls and two
copied pages of every thaw).

Not reached: resource.RUSAGE_THREAD, CPU clocks of other threads by their
number, and what reads /proc (psutil).
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import resource
import threading
import time
from collections.abc import Iterator

from quickthaw.runtime.renewal import clock, imported, machine

_READ, _USAGE, _TIMES = "clock_gettime", "getrusage", "times"
# Words of the table: entries as `machine` describes them.
_PROCESS, _USER, _SYSTEM, _TICKS, _THREADS = 0, 4, 8, 12, 18
_EACH_THREAD = 5
_ELAPSED = _TICKS + 2  # of the entry of `times`
_WORD = 8  # bytes
_SCHEDULED_TIME = 6  # of one thread: the low bits of a clock's number, linux/posix-timers.h


class Processor:
    """The table, and what stood in it at the freeze.

    Attributes:
        reading: address of what now stands for clock_gettime, if anything does.
    """

    def __init__(self) -> None:
        self.reading: int | None = None
        self._words: ctypes.Array[ctypes.c_int64] | None = None
        self._frozen: list[int] = []
        if clock.unsupported():
            return
        threads = list(_threads())
        count = _THREADS + (len(threads) + 1) * _EACH_THREAD
        table = imported.memory(-(-count * _WORD // mmap.PAGESIZE) * mmap.PAGESIZE)
        self._words = words = (ctypes.c_int64 * count).from_address(table)
        for at, (thread, used_ns) in zip(self._thread_entries(), threads, strict=False):
            words[at + 2], words[at + 3] = divmod(used_ns, 1_000_000_000)
            words[at + 4] = thread
        self._stand_in(table)
        # Each notes its result.
        time.process_time(), time.thread_time(), resource.getrusage(resource.RUSAGE_SELF), os.times()
        self._frozen = list(words)
        os.register_at_fork(after_in_child=self._forget)

    def _stand_in(self, table: int) -> None:
        libc = ctypes.CDLL(None)
        slots = imported.slots((_READ, _USAGE, _TIMES))
        address = {name: imported.address(getattr(libc, name)) for name in slots}

        def entry(number: int) -> int:
            return table + number * _WORD

        code = {
            _READ: lambda original: machine.processor_clock(original, entry(_PROCESS), entry(_THREADS)),
            _USAGE: lambda original: machine.usage(original, entry(_USER), entry(_SYSTEM)),
            _TIMES: lambda original: machine.times(original, entry(_TICKS)),
        }
        places = imported.executable([code[name](original) for name, original in address.items()])
        for name, place in zip(address, places, strict=True):
            imported.put(slots[name], place)
            if name == _READ:
                self.reading = place

    def _thread_entries(self) -> range:
        """Where they begin, without the last, which is empty."""
        assert self._words is not None
        return range(_THREADS, len(self._words) - _EACH_THREAD, _EACH_THREAD)

    def _forget(self) -> None:
        if self._words is not None:
            for at in (_PROCESS, _USER, _SYSTEM, _TICKS, *self._thread_entries()):
                self._words[at] = self._words[at + 1] = 0

    def renew(self) -> None:
        """Adds from now on what was used before."""
        words, frozen = self._words, self._frozen
        if words is None:
            return
        for at in (_PROCESS, _USER, _SYSTEM, *self._thread_entries()):
            last = at + 2
            words[at], words[at + 1] = max((frozen[last], frozen[last + 1]), (words[last], words[last + 1]))
        for at in (_TICKS, _TICKS + 1):
            words[at] = max(frozen[at + 3], words[at + 3])
        elapsed = max(frozen[_ELAPSED + 3], words[_ELAPSED + 3])
        os.times()
        words[_ELAPSED] = max(0, elapsed - words[_ELAPSED + 3])


def _threads() -> Iterator[tuple[int, int]]:
    """The pointer of each thread, and what it has used, nanoseconds."""
    for thread in threading.enumerate():
        if thread.ident and thread.native_id:
            with contextlib.suppress(OSError):  # it has just ended
                # By the kernel's number: of a thread that has ended the pointer must not be asked.
                yield thread.ident, time.clock_gettime_ns(~thread.native_id << 3 | _SCHEDULED_TIME)


def remember() -> Processor:
    """Puts the code in place, which adds nothing yet.

    Raises:
        OSError: the kernel refuses memory for it.
    """
    return Processor()


def renew(processor: Processor) -> None:
    """At the wake."""
    processor.renew()
