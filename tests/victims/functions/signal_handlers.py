"""Signal handlers, ignored and blocked signals, and a wakeup descriptor."""

import os
import signal
from typing import Any

SAME = ("caught", "ignored", "blocked", "default", "wakeup", "usr2")
PYTHONS = ("3.12", "3.13")

CAUGHT: list[int] = []
READ, WRITE = os.pipe2(os.O_NONBLOCK)
signal.signal(signal.SIGUSR1, lambda number, _frame: CAUGHT.append(number))
signal.signal(signal.SIGHUP, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
signal.signal(signal.SIGUSR2, lambda number, _frame: CAUGHT.append(number))
signal.set_wakeup_fd(WRITE)
signal.siginterrupt(signal.SIGUSR1, False)


def handler(event: Any, context: Any) -> dict[str, Any]:
    CAUGHT.clear()
    os.kill(os.getpid(), signal.SIGHUP)
    signal.raise_signal(signal.SIGUSR1)
    signal.raise_signal(signal.SIGUSR2)
    pending = signal.sigpending()
    number = signal.sigtimedwait({signal.SIGUSR2}, 5)
    return {
        "caught": CAUGHT,
        "ignored": signal.getsignal(signal.SIGHUP) == signal.SIG_IGN,
        "blocked": sorted(pending & {signal.SIGUSR1, signal.SIGUSR2}),
        "default": signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,
        "wakeup": list(os.read(READ, 100)),
        "usr2": number.si_signo if number else None,
    }
