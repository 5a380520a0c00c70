"""Text that was written and not flushed, to standard output and to a file object over a pipe."""

import io
import os
import sys
from typing import Any

SAME = ("held", "encoding", "line", "wrapped")

READ, WRITE = os.pipe()
os.set_blocking(READ, False)
PIPE = io.TextIOWrapper(io.BufferedWriter(io.FileIO(WRITE, "w")), write_through=False)
PIPE.write("held back")
sys.stdout.write("a line without its end")
ORIGINAL = sys.stdout


def handler(event: Any, context: Any) -> dict[str, Any]:
    try:
        early = os.read(READ, 100)
    except BlockingIOError:
        early = b""
    PIPE.flush()
    late = os.read(READ, 100) if event["call"] == 1 else b""
    PIPE.write("held back")
    PIPE.flush()
    os.read(READ, 100)
    PIPE.write("")
    return {
        "held": [early.decode(), late.decode()],
        "encoding": ORIGINAL.encoding,
        "line": sys.stdout.write("") == 0,
        "wrapped": sys.__stdout__ is not None and sys.__stdout__.fileno() == 1,
    }
