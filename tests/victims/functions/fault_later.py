"""The fault handler's dump that comes again and again, asked for after one that was cancelled."""

import faulthandler
import tempfile
import threading
import time
from faulthandler import dump_traceback_later
from typing import Any

SAME = ("first", "again")

FILE = tempfile.TemporaryFile("w+")  # noqa: SIM115 - stays open
faulthandler.dump_traceback_later(3600, exit=True)
faulthandler.cancel_dump_traceback_later()
dump_traceback_later(0.3, repeat=True, file=FILE)


def _dumps() -> int:
    FILE.seek(0)
    return FILE.read().count("Timeout")


def handler(event: Any, context: Any) -> dict[str, Any]:
    deadline = time.monotonic() + 10
    while _dumps() < 2 and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    return {"first": _dumps() > 0, "again": _dumps() > 1}
