"""Pipes with unread data, a large buffer, without blocking, and a reader whose writer is closed."""

import fcntl
import os
from typing import Any

SAME = ("unread", "capacity", "flags", "ended", "rest")

READ, WRITE = os.pipe()
fcntl.fcntl(WRITE, fcntl.F_SETPIPE_SZ, 1 << 18)
os.write(WRITE, b"unread" * 20_000)
os.set_blocking(READ, False)
QUIET_READ, QUIET_WRITE = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
TWIN = os.dup(WRITE)


def handler(event: Any, context: Any) -> dict[str, Any]:
    first = os.read(READ, 12)
    os.write(TWIN, b"x")
    try:
        os.read(QUIET_READ, 1)
        ended = "something"
    except BlockingIOError:
        ended = "nothing"
    return {
        "unread": first.decode(),
        "capacity": fcntl.fcntl(READ, fcntl.F_GETPIPE_SZ),
        "flags": [
            fcntl.fcntl(fd, fcntl.F_GETFL) & (os.O_NONBLOCK | os.O_ACCMODE)
            for fd in (READ, WRITE, QUIET_READ)
        ],
        "ended": ended,
        "rest": fcntl.ioctl(READ, 0x541B, b"\0" * 4)[:4].hex(),
    }
