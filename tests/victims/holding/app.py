"""A function whose import leaves things open that nobody opened by hand."""

import asyncio
import mmap
import os
import socket
import tempfile
from typing import Any

LOOP = asyncio.new_event_loop()  # an epoll, a socket pair
QUEUE: "asyncio.Queue[int]" = asyncio.Queue()
LEFT, RIGHT = socket.socketpair()
LEFT.sendall(b"unread")
SHARED = mmap.mmap(-1, 8192)
SHARED[4096:4101] = b"bytes"
SCRATCH = tempfile.TemporaryFile()  # noqa: SIM115 - stays open
SCRATCH.write(b"scratch")
SCRATCH.flush()
os.makedirs("/tmp/cache", exist_ok=True)
with open("/tmp/cache/model", "w") as file:
    file.write("weights")
with open("/tmp/cache/model") as file:
    MAPPED = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
MODEL = open("/tmp/cache/model")  # noqa: SIM115 - stays open


async def double(number: int) -> int:
    """Goes through the loop."""
    await asyncio.sleep(0)
    await QUEUE.put(number)
    return 2 * await QUEUE.get()


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Use everything once, in a way that can be repeated."""
    MODEL.seek(0)
    SCRATCH.seek(0)
    unread = RIGHT.recv(100)
    LEFT.sendall(unread)
    return {
        "loop": LOOP.run_until_complete(double(sum(event["numbers"]))),
        "unread": unread.decode(),
        "shared": SHARED[4096:4101].decode(),
        "scratch": SCRATCH.read().decode(),
        "model": MODEL.read(),
        "mapped": MAPPED[:].decode(),
        "listed": sorted(os.listdir("/tmp/cache")),
    }
