"""The fault handler's dump that comes again and again, asked for after one that was cancelled."""

import faulthandler
import tempfile
import time
from faulthandler import dump_traceback_later
from typing import Any

SAME = ("first", "again")

EVERY_S = 1.0
FILE = tempfile.TemporaryFile("w+")  # noqa: SIM115 - stays open
faulthandler.dump_traceback_later(3600, exit=True)
faulthandler.cancel_dump_traceback_later()
dump_traceback_later(EVERY_S, repeat=True, file=FILE)


def _dumps() -> int:
    FILE.seek(0)
    return FILE.read().count("Timeout")


def handler(event: Any, context: Any) -> dict[str, Any]:
    deadline = time.monotonic() + 10
    while _dumps() < 2 and time.monotonic() < deadline:
        # A dump reads frames of threads that go on meanwhile, and may crash by that, thawed or not.
        time.sleep(EVERY_S * 2.5)
    faulthandler.cancel_dump_traceback_later()
    return {"first": _dumps() > 0, "again": _dumps() > 1}
