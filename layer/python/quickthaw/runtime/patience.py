"""Bounds a wake that nobody watches: an after-restore hook that hangs must not eat the start.

With CRIU the bootstrap watches and kills (`watchdog`).  A process that the
native restorer became has no parent to do so; it watches itself, twice:

- a timer's SIGALRM, whose Python handler starts the original command in this
  process, as every other failure of the wake does.  It gets through to hooks
  that wait (sleep, select, locks, sockets) and to loops in Python;
- where there are hooks, faulthandler's watchdog thread `GRACE_S` later, which
  needs no interpreter lock: a hook that hangs inside C code is shown with its
  traceback and the process ends.  Lambda starts the runtime again, and after
  `attempts.MOST` of those the start is cold.

SnapStart gives after-restore hooks 10 s.  Here they run inside the init whose
time they were to save, so they get what the thaw as a whole gets; a function
whose hooks need longer says so with QUICKTHAW_WATCHDOG.
"""

from __future__ import annotations

import ctypes
import signal
from collections.abc import Callable
from typing import Any

from quickthaw import names
from quickthaw.errors import Declined
from quickthaw.runtime import watchdog
from quickthaw.runtime.renewal import dumps

GRACE_S = 0.5  # for the handler to run before the thread ends the process
_SIGACTION = 256  # bytes; glibc's struct sigaction has 152
_LEAST_S = 0.05  # for the wake's own steps, however long the restore took


class Patience:
    """From here to `lift`, the wake's time is limited."""

    def __init__(
        self, context: dict[str, Any], now_s: Callable[[], float], give_up: Callable[[str], None]
    ) -> None:
        """Starts the timer, if the process has to watch itself.

        Args:
            context: the wake context.
            now_s: the kernel's CLOCK_MONOTONIC, whatever the function is shown.
            give_up: called with the reason; does not return.
        """
        self._active = context["report"] != "woke"
        self._now_s = now_s
        if not self._active:
            return
        given = next((e.partition("=")[2] for e in context["environ"] if e.startswith(_VARIABLE)), None)
        try:
            total_s = watchdog.total_s(given, context.get("cold_init_s") or 0.0)
        except Declined:  # the restorer has read the variable; what it let pass is a number
            total_s = watchdog.LEAST_S
        self._left_s = max(_LEAST_S, total_s - (self._now_s() - context["started_s"]))

        def expired(_number: int, _frame: object) -> None:
            give_up(f"the wake took longer than the {round(total_s, 2):g} s that a thaw may take")

        self._began_s = self._now_s()
        # As the kernel has it: of a handler that C code installed, Python knows nothing.
        self._action = ctypes.create_string_buffer(_SIGACTION)
        ctypes.CDLL(None).sigaction(signal.SIGALRM, None, self._action)
        self._handler = signal.signal(signal.SIGALRM, expired)
        # The function may have a timer of its own, which the restorer has just set again.
        self._timer = signal.setitimer(signal.ITIMER_REAL, self._left_s)

    def hooks(self, count: int) -> None:
        """The function's own code comes next.

        Args:
            count: how many hooks; without any no thread is started.
        """
        if self._active and count:
            left_s = max(_LEAST_S, self._began_s + self._left_s - self._now_s())
            dumps.own_later(left_s + GRACE_S, exit=True, file=2)

    def lift(self) -> None:
        """The process is awake: the timer, and what was there before, are as they were."""
        if not self._active:
            return
        self._active = False
        delay_s, interval_s = self._timer
        if delay_s:
            delay_s = max(1e-6, delay_s - (self._now_s() - self._began_s))
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL if self._handler is None else self._handler)
        ctypes.CDLL(None).sigaction(signal.SIGALRM, self._action, None)
        signal.setitimer(signal.ITIMER_REAL, delay_s, interval_s)
        dumps.own_cancel()  # the function's own is asked for after this


_VARIABLE = f"{names.ENV_WATCHDOG}="
