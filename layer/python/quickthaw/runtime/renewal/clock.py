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
C++), which also wait by it; absolute timers of os.timerfd_settime; CPU time
(time.process_time, thread_time), which begins anew.
"""

from __future__ import annotations

import _thread
import ctypes
import math
import mmap
import os
import signal
import sys
import time
from collections.abc import Iterable

from quickthaw.errors import Declined
from quickthaw.runtime.renewal import imported

# linux/time.h: MONOTONIC, MONOTONIC_RAW, MONOTONIC_COARSE, BOOTTIME; and BOOTTIME_ALARM, which not all have
_CLOCKS = (1, 4, 6, 7)
_MASK = sum(1 << number for number in (*_CLOCKS, 9))
_PAUSE_US = 1000  # for calls that were between reading the clock and waiting by it

_READ = "clock_gettime"
_CONDITION = "pthread_cond_timedwait"
_WAITS = ("sem_clockwait", "clock_nanosleep")
# Absolute waits on a monotonic clock that no interpreter has imported so far; one that does needs a look.
_UNKNOWN = ("pthread_cond_clockwait", "pthread_mutex_clocklock", "sem_clockwait_np", "timer_settime")


class Clock:
    """The clocks at the freeze, and where the interpreter reads them.

    Attributes:
        frozen_s: seconds by clock id.
        slots: where the interpreter's imports of each function are kept.
        originals: addresses of the functions.
        obstacle: why the clock cannot be corrected, if it cannot.
        added_s: what `renew` made the interpreter add to the kernel's clocks, seconds.
    """

    def __init__(self) -> None:
        self.added_s = 0
        self.slots: dict[str, list[imported.Slot]] = {}
        self.originals: dict[str, int] = {}
        self.obstacle = _supported()
        if not self.obstacle:
            self._look()
        self.frozen_s = _now()

    def _look(self) -> None:
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


def _supported() -> str:
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
    code = {name: _code(name, original, behind_s) for name, original in clock.originals.items()}
    places = _executable([_RETURN, *code.values()])
    handler, entries = places[0], dict(zip(code, places[1:], strict=True))
    others = sys._current_frames().keys() - {_thread.get_ident()}
    for name in (_CONDITION, _READ):
        imported.put(clock.slots.get(name, ()), entries.get(name, 0))
    if others:
        ctypes.CDLL(None).usleep(_PAUSE_US)
    for name in _WAITS:
        imported.put(clock.slots.get(name, ()), entries.get(name, 0))
    if others:
        _interrupt(others, handler)


def _interrupt(threads: Iterable[int], handler: int) -> None:
    """Ends the system call that each thread waits in; the handler, a bare return, stays installed.

    Taking it away again could kill the process by a signal that is still on its way.
    """
    free = [
        number
        for number in range(signal.SIGRTMAX - 1, signal.SIGRTMIN, -1)
        if signal.getsignal(number) is signal.SIG_DFL
    ]
    if not free:
        raise OSError("no signal is free to interrupt waiting threads")
    libc = ctypes.CDLL(None)
    libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    libc.signal.restype = ctypes.c_void_p
    libc.signal(free[0], handler)
    libc.siginterrupt(free[0], 1)
    for thread in threads:
        try:
            signal.pthread_kill(thread, free[0])
        except ProcessLookupError:
            continue  # it has just ended


_RETURN = b"\xc3"


def _code(name: str, original: int, behind_s: int) -> bytes:
    """x86-64 machine code that stands in for a function (System V calling convention)."""
    call = b"\x48\xb8" + original.to_bytes(8, "little") + b"\xff\xd0"  # mov rax, original; call rax
    if name == _READ:
        return _reading(call, behind_s)
    # What decides whether the moment in [rdx] is one of a corrected clock.
    if name == "clock_nanosleep":  # edi: clock, esi: flags
        checks = [_CLOCK_IN_EDI, b"\x40\xf6\xc6\x01", _JUMP_IF_ZERO]  # test sil, TIMER_ABSTIME
    elif name == "sem_clockwait":  # esi: clock
        checks = [_CLOCK_IN_ESI]
    else:
        checks = []
    return _waiting(call, behind_s, checks)


_JUMP_IF_ZERO = b"\x74"
_JUMP_IF_NO_CARRY = b"\x73"
_JUMP_IF_ABOVE = b"\x77"
_LOAD_MASK = b"\xb8" + _MASK.to_bytes(4, "little")  # mov eax, mask
_CLOCK_IN_EDI = b"\x0f\xa3\xf8"  # bt eax, edi
_CLOCK_IN_ESI = b"\x0f\xa3\xf0"  # bt eax, esi


def _reading(call: bytes, behind_s: int) -> bytes:
    add = b"\x48\xba" + behind_s.to_bytes(8, "little") + b"\x49\x01\x14\x24"  # mov rdx, s; add [r12], rdx
    test = b"\xb9" + _MASK.to_bytes(4, "little") + b"\x0f\xa3\xd9"  # mov ecx, mask; bt ecx, ebx
    body = test + _JUMP_IF_NO_CARRY + bytes([len(add)]) + add
    body = b"\x83\xfb\x1f" + _JUMP_IF_ABOVE + bytes([len(body)]) + body  # cmp ebx, 31: process clocks
    body = b"\x85\xc0\x75" + bytes([len(body)]) + body  # test eax, eax; jnz: the call failed
    head = b"\x53\x41\x54\x50\x89\xfb\x49\x89\xf4"  # push rbx, r12, rax; mov ebx, edi; mov r12, rsi
    return head + call + body + b"\x5a\x41\x5c\x5b\xc3"  # pop rdx, r12, rbx; ret


def _waiting(call: bytes, behind_s: int, checks: list[bytes]) -> bytes:
    change = (
        b"\x4c\x8b\x02\x4c\x8b\x4a\x08"  # mov r8, [rdx]; mov r9, [rdx+8]
        + (b"\x48\xb8" + behind_s.to_bytes(8, "little") + b"\x49\x29\xc0")  # mov rax, s; sub r8, rax
        + b"\x79\x06\x45\x31\xc0\x45\x31\xc9"  # jns +6; xor r8d, r8d; xor r9d, r9d
        + b"\x4c\x89\x04\x24\x4c\x89\x4c\x24\x08\x48\x89\xe2"  # mov [rsp], r8; mov [rsp+8], r9; mov rdx, rsp
    )
    if _CLOCK_IN_EDI in checks or _CLOCK_IN_ESI in checks:
        if len(checks) > 1:
            change = checks[1] + _JUMP_IF_ZERO + bytes([len(change)]) + change
        change = _LOAD_MASK + checks[0] + _JUMP_IF_NO_CARRY + bytes([len(change)]) + change
        compare = b"\x83\xff\x1f" if checks[0] is _CLOCK_IN_EDI else b"\x83\xfe\x1f"  # cmp edi/esi, 31
        change = compare + _JUMP_IF_ABOVE + bytes([len(change)]) + change
    return b"\x48\x83\xec\x18" + change + call + b"\x48\x83\xc4\x18\xc3"  # sub rsp, 24 ... add rsp, 24; ret


def _executable(pieces: list[bytes]) -> list[int]:
    """Maps the pieces, each at a multiple of 16, read-only and executable; returns their addresses."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (
        *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long),
    )
    writable = mmap.PROT_READ | mmap.PROT_WRITE
    page = libc.mmap(None, mmap.PAGESIZE, writable, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    if page is None or page == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), f"mmap: {os.strerror(ctypes.get_errno())}")
    places, at = [], page
    for piece in pieces:
        ctypes.memmove(at, piece, len(piece))
        places.append(at)
        at += -(-len(piece) // 16) * 16
    imported.protect(page, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC)
    return places
