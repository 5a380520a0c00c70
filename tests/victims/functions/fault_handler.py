"""The fault handler with its alternate stack, a dump that is due in an hour, and a signal that dumps."""

import faulthandler
import os
import signal
import tempfile
from typing import Any

SAME = ("enabled", "early", "dumped", "crashed")

FILE = tempfile.TemporaryFile("w+")  # noqa: SIM115 - stays open
faulthandler.enable(FILE)
faulthandler.register(signal.SIGUSR1, FILE)
faulthandler.dump_traceback_later(3600, file=FILE)


def handler(event: Any, context: Any) -> dict[str, Any]:
    FILE.seek(0)
    early = "Timeout" in FILE.read()
    signal.raise_signal(signal.SIGUSR1)
    FILE.seek(0)
    dumped = "in handler" in FILE.read()
    child = os.fork()
    if child == 0:
        faulthandler._stack_overflow()  # type: ignore[attr-defined]
    crashed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {
        "enabled": faulthandler.is_enabled(),
        "early": early,
        "dumped": dumped,
        "crashed": crashed,
    }
