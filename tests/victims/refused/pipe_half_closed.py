"""A pipe whose writer is closed, with unread data."""

import os
from typing import Any

REFUSED = r"descriptor \d+: pipe:\[\d+\], whose other end is"
READ, _write = os.pipe()
os.write(_write, b"last words")
os.close(_write)


def handler(event: Any, context: Any) -> Any: ...
