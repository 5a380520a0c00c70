"""The fault handler's dump that is due later, besides a hook, whose time the same dump bounds."""

import faulthandler
import tempfile
import time
from typing import Any

from snapshot_restore_py import register_after_restore

SAME = ("dumped",)

LATER_S = 1.0
FILE = tempfile.TemporaryFile("w+")  # noqa: SIM115 - stays open
faulthandler.dump_traceback_later(LATER_S, file=FILE)


@register_after_restore
def nothing() -> None:
    pass


def handler(event: Any, context: Any) -> dict[str, Any]:
    deadline = time.monotonic() + 10
    dumped = False
    while not dumped and time.monotonic() < deadline:
        time.sleep(LATER_S * 1.5)  # see fault_later
        FILE.seek(0)
        dumped = "Timeout" in FILE.read()
    return {"dumped": dumped}
