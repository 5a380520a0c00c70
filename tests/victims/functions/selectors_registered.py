"""A selector with a socket pair and a pipe, poll and epoll objects, edge triggered and one-shot."""

import os
import select
import selectors
import socket
from typing import Any

SAME = ("selected", "polled", "edge", "once", "twin")

LEFT, RIGHT = socket.socketpair()
READ, WRITE = os.pipe()
SELECTOR = selectors.DefaultSelector()
SELECTOR.register(RIGHT, selectors.EVENT_READ, data="socket")
SELECTOR.register(READ, selectors.EVENT_READ, data="pipe")
POLL = select.poll()
POLL.register(READ, select.POLLIN)
EDGE = select.epoll()
EDGE.register(READ, select.EPOLLIN | select.EPOLLET)
TWIN = select.epoll.fromfd(os.dup(EDGE.fileno()))  # the same list, by another number
ONCE = select.epoll()
ONCE.register(RIGHT, select.EPOLLIN | select.EPOLLONESHOT)
LEFT.sendall(b"hello")


def handler(event: Any, context: Any) -> dict[str, Any]:
    os.write(WRITE, b"x")
    selected = sorted(key.data for key, _ in SELECTOR.select(5))
    polled = [mask for fd, mask in POLL.poll(5000) if fd == READ]
    edge = [len(EDGE.poll(5)), len(EDGE.poll(0))]
    twin = len(TWIN.poll(0))
    once = [len(ONCE.poll(1)) if event["call"] == 1 else 1, len(ONCE.poll(0))]
    os.read(READ, 10)
    return {"selected": selected, "polled": polled, "edge": edge, "once": once, "twin": twin}
