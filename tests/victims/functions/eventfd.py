"""An eventfd's counter, seen through an epoll with a pipe that has something to read."""

import os
import select
from typing import Any

SAME = ("ready", "count", "piped")
PYTHONS = ("3.12", "3.13")

COUNTER = os.eventfd(41, os.EFD_NONBLOCK)
READ, WRITE = os.pipe()
os.write(WRITE, b"unread")
EPOLL = select.epoll()
EPOLL.register(COUNTER, select.EPOLLIN)
EPOLL.register(READ, select.EPOLLIN)


def handler(event: Any, context: Any) -> dict[str, Any]:
    ready = sorted(events for fd, events in EPOLL.poll(5) if fd in (COUNTER, READ))
    os.eventfd_write(COUNTER, 1)
    count = os.eventfd_read(COUNTER)
    piped = os.read(READ, 100)
    os.write(WRITE, piped)
    os.eventfd_write(COUNTER, count)
    return {"ready": ready, "count": count, "piped": piped.decode()}
