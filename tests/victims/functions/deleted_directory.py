"""A working directory that was removed, which only CRIU gives back."""

import os
from typing import Any

SAME = ("directory",)
ENGINES = ("criu",)
DECLINED = r"the working directory has been deleted"

os.mkdir("/tmp/gone")
os.chdir("/tmp/gone")
os.rmdir("/tmp/gone")


def handler(event: Any, context: Any) -> dict[str, Any]:
    try:
        directory = os.getcwd()
    except FileNotFoundError:
        directory = "gone"
    return {"directory": directory}
