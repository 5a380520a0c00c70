"""A pipe whose writer is closed: what was written can still be read, then comes its end."""

import os
from typing import Any

SAME = ("read", "end")
ENGINES = ("criu",)
DECLINED = r"a pipe whose other end is closed"

READ, _write = os.pipe()
os.write(_write, b"last words")
os.close(_write)


def handler(event: Any, context: Any) -> dict[str, Any]:
    return {"read": os.read(READ, 100).decode(), "end": os.read(READ, 100).decode()}
