"""A log file in /tmp with rotation, opened at import."""

import logging.handlers
import os
from typing import Any

SAME = ("lines", "files")
ENGINES = ("native",)

LOGGER = logging.getLogger("victim")
LOGGER.addHandler(logging.handlers.RotatingFileHandler("/tmp/victim.log", maxBytes=60, backupCount=3))
LOGGER.warning("at import, thirty letters long")


def handler(event: Any, context: Any) -> dict[str, Any]:
    LOGGER.warning("call %d, thirty letters and more", event["call"])
    return {
        "lines": open("/tmp/victim.log").read(),
        "files": sorted(f for f in os.listdir("/tmp") if "log" in f),
    }
