"""Monotonic time never goes back, also on a machine that is younger than the snapshot.

The checkpoint runs in a time namespace whose clocks begin at zero, so most
machines are older than the snapshot and nothing is done.  Lambda's machines
may be seconds old, though, and a namespace for the thaw takes a privilege.
So where the machine's clock stands behind the frozen one, the difference (in
whole seconds, rounded up) is added where the interpreter reads the clock: at
its import of `clock_gettime`, one slot of its global offset table, which a
few bytes of machine code take over.  Every reference to time.monotonic,
perf_counter and clock_gettime is reached that way, whenever it was taken, and
so are asyncio, `threading`, `select` and whatever else asks the interpreter.

The kernel knows nothing of it.  Relative waits do not mind; for the three
calls by which the interpreter waits until a moment (sem_clockwait,
clock_nanosleep, pthread_cond_timedwait) the difference is taken off again in
the same way.  Then a wait that was under way at the freeze is interrupted
once: the interpreter works out what is left of it, by its clock, and waits on.

Order: the condition wait first (early, it only lets threads switch more often),
then the clock, then the other waits, then the interruption, which repairs what
threads computed in between.

Rejected: replacing the functions of `time` (references from the import stay),
replacing what their method tables point to (the interpreter's own deadlines,
taken before the freeze, would lie days ahead on a machine that is days
younger), replacing libc's function (other libraries' absolute waits).

Not reached: libraries that read the kernel's clock themselves (uvloop, Rust,
C++), which also wait by it; absolute timers of os.timerfd_settime.  Processor
time is `processor`'s.
"""

from __future__ import annotations

import _thread
import ctypes
import errno
import math
import os
import signal
import sys
import time
from collections.abc import Iterable

from quickthaw.errors import Declined
from quickthaw.runtime.renewal import identity, imported, machine

# linux/time.h: MONOTONIC, MONOTONIC_RAW, MONOTONIC_COARSE, BOOTTIME
_CLOCKS = (1, 4, 6, 7)
_PAUSE_US = 1000  # for calls that were between reading the clock and waiting by it
_PATIENCE_S = 0.1  # with threads that do not come to rest
_TGKILL = 234  # asm/unistd_64.h; glibc has no function of that name before 2.30

_READ = "clock_gettime"
_CONDITION = "pthread_cond_timedwait"
_WAITS = ("sem_clockwait", "clock_nanosleep")
# Absolute waits on a monotonic clock that no interpreter has imported so far; one that does needs a look.
_UNKNOWN = ("pthread_cond_clockwait", "pthread_mutex_clocklock", "timer_settime")


class Clock:
    """The clocks at the freeze, and where the interpreter reads them.

    Args:
        reading: what the interpreter has been given for clock_gettime, if not libc's.

    Attributes:
        frozen_s: seconds by clock id.
        slots: where the interpreter's imports of each function are kept.
        originals: addresses of the functions.
        obstacle: why the clock cannot be corrected, if it cannot.
        added_s: what `renew` made the interpreter add to the kernel's clocks, seconds.
    """

    def __init__(self, reading: int | None = None) -> None:
        self.added_s = 0
        self.slots: dict[str, list[imported.Slot]] = {}
        self.originals: dict[str, int] = {}
        self.obstacle = unsupported()
        if not self.obstacle:
            self._look(reading)
        self.frozen_s = _now()

    def _look(self, reading: int | None) -> None:
        wanted = (_READ, _CONDITION, *_WAITS)
        self.slots = imported.slots((*wanted, *_UNKNOWN, "pthread_condattr_setclock"))
        if _READ not in self.slots:
            self.obstacle = "the interpreter does not import clock_gettime"
        unknown = [name for name in _UNKNOWN if name in self.slots]
        if unknown:
            self.obstacle = f"the interpreter waits by {unknown[0]}"
        if "pthread_condattr_setclock" not in self.slots:
            self.slots.pop(_CONDITION, None)  # then its conditions wait by the wall clock
        libc = ctypes.CDLL(None)
        for name in wanted:
            if name in self.slots:
                self.originals[name] = imported.address(getattr(libc, name))
        if reading is not None:
            self.originals[_READ] = reading


def unsupported() -> str:
    """Why the interpreter's imports cannot be corrected here; empty where they can."""
    if os.uname().machine != "x86_64":
        return f"there is no correction for {os.uname().machine}"
    if sys.implementation.name != "cpython":
        return f"there is no correction for {sys.implementation.name}"
    return ""


def _now() -> dict[int, float]:
    return {number: time.clock_gettime(number) for number in _CLOCKS}


def renew(clock: Clock) -> None:
    """Corrects the interpreter's clock if this machine's stands behind.

    Raises:
        Declined: it does, and cannot be corrected.
    """
    now = _now()
    behind_s = math.ceil(max(clock.frozen_s[number] - now[number] for number in _CLOCKS))
    if behind_s <= 0:
        return
    if clock.obstacle:
        raise Declined(f"the monotonic clock is {behind_s} s behind the snapshot's: {clock.obstacle}")
    try:
        _correct(clock, behind_s)
        clock.added_s = behind_s
    except OSError as error:
        raise Declined(f"the monotonic clock is {behind_s} s behind the snapshot's: {error}") from error


def _correct(clock: Clock, behind_s: int) -> None:
    code = {name: machine.stand_in(name, original, behind_s) for name, original in clock.originals.items()}
    places = imported.executable([machine.RETURN, *code.values()])
    handler, entries = places[0], dict(zip(code, places[1:], strict=True))
    others = len(sys._current_frames()) > 1
    for name in (_CONDITION, _READ):
        imported.put(clock.slots.get(name, ()), entries.get(name, 0))
    if others:
        ctypes.CDLL(None).usleep(_PAUSE_US)
    for name in _WAITS:
        imported.put(clock.slots.get(name, ()), entries.get(name, 0))
    if others:
        # Those of now: one that began in between may wait by the corrected clock, in a call that was not.
        _interrupt(set(identity.native_ids().values()) - {_thread.get_native_id()}, handler)


def _interrupt(threads: Iterable[int], handler: int) -> None:
    """Ends the system call that each thread waits in; the handler, a bare return, stays installed.

    Taking it away again could kill the process by a signal that is still on its way.  The threads are the
    kernel's numbers: they may end meanwhile, and a pthread_t of one that has ended must not be used.
    """
    free = [
        number
        for number in range(signal.SIGRTMAX - 1, signal.SIGRTMIN, -1)
        if signal.getsignal(number) is signal.SIG_DFL
    ]
    if not free:
        raise OSError("no signal is free to interrupt waiting threads")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    libc.signal.restype = ctypes.c_void_p
    libc.signal(free[0], handler)
    libc.siginterrupt(free[0], 1)
    deadline_s = time.perf_counter() + _PATIENCE_S
    for thread in threads:
        # One that has not been scheduled since the thaw would take the signal before it enters its call.
        while _runnable(thread) and time.perf_counter() < deadline_s:
            libc.usleep(_PAUSE_US)
        if libc.syscall(_TGKILL, os.getpid(), thread, free[0]) and ctypes.get_errno() != errno.ESRCH:
            raise OSError(ctypes.get_errno(), "a waiting thread cannot be interrupted")


def _runnable(thread: int) -> bool:
    """Whether a thread runs or waits for a processor (proc_pid_stat(5)); waiting for the GIL is sleep."""
    try:
        with open(f"/proc/self/task/{thread}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] == b"R"
    except OSError:
        return False
