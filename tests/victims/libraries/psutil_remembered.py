"""Psutil process objects of the function itself, made at import, asked after the thaw."""

import os
import time
from typing import Any

import psutil

SAME = ("memory", "running", "equal", "known", "started", "busy", "iterated")


class Own(psutil.Process):
    """With something of its own."""

    note = "kept"


PROCESS, OWN = psutil.Process(), Own()
OWN.note = "kept here"
PROCESS.cpu_percent(), PROCESS.create_time(), PROCESS.name(), hash(PROCESS)
KNOWN = {"self": PROCESS}
list(psutil.process_iter())


def handler(event: Any, context: Any) -> dict[str, Any]:
    return {
        "memory": PROCESS.memory_info().rss > 1 << 20,
        "running": PROCESS.is_running() and OWN.is_running(),
        "equal": PROCESS == psutil.Process() == KNOWN["self"] and hash(PROCESS) == hash(psutil.Process()),
        "known": [PROCESS.pid == os.getpid(), OWN.note, PROCESS.name() == psutil.Process().name()],
        "started": abs(PROCESS.create_time() - time.time()) < 60,
        "busy": PROCESS.cpu_percent() >= 0,
        "iterated": [one.pid for one in psutil.process_iter() if one == PROCESS] == [os.getpid()],
    }
