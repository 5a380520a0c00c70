"""A working directory in /tmp that the import made."""

import os
from typing import Any

SAME = ("directory", "listed")
ENGINES = ("native",)

os.makedirs("/tmp/place/deep")
os.chdir("/tmp/place")


def handler(event: Any, context: Any) -> dict[str, Any]:
    return {"directory": os.getcwd(), "listed": os.listdir(".")}
