"""A timerfd an hour ahead, one that ticks, and a signalfd, made in C."""

import ctypes
import os
import select
import signal
import struct
from typing import Any

SAME = ("hour", "ticks", "signal")
ENGINES = ("native",)

LIBC = ctypes.CDLL(None, use_errno=True)
HOUR = LIBC.timerfd_create(1, 0)
LIBC.timerfd_settime(HOUR, 0, struct.pack("4l", 0, 0, 3600, 0), None)
TICKS = LIBC.timerfd_create(1, os.O_NONBLOCK)
LIBC.timerfd_settime(TICKS, 0, struct.pack("4l", 0, 20_000_000, 0, 20_000_000), None)
select.select([TICKS], [], [])  # it has rung, and nobody has read that
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
SIGNALS = LIBC.signalfd(-1, struct.pack("Q", 1 << (signal.SIGUSR1 - 1)).ljust(128, b"\0"), os.O_NONBLOCK)


def handler(event: Any, context: Any) -> dict[str, Any]:
    left = ctypes.create_string_buffer(32)
    assert LIBC.timerfd_gettime(HOUR, left) == 0
    ready, _, _ = select.select([TICKS], [], [], 5)
    ticks = struct.unpack("Q", os.read(TICKS, 8))[0] if ready else 0
    signal.raise_signal(signal.SIGUSR1)
    number = struct.unpack_from("I", os.read(SIGNALS, 128))[0]
    return {"hour": 0 < struct.unpack("4l", left)[2] <= 3600, "ticks": ticks > 0, "signal": number}
