"""Threads blocked in the kernel: in read, poll, epoll_wait, select, recv, sigwait and nanosleep."""

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

SAME = ("woken", "slept")

R1, W1 = os.pipe()
R2, W2 = os.pipe()
R3, W3 = os.pipe()
R4, W4 = os.pipe()
LEFT, RIGHT = socket.socketpair()
EPOLL = select.epoll()
EPOLL.register(R3, select.EPOLLIN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})


def _poll() -> None:
    poll = select.poll()
    poll.register(R2, select.POLLIN)
    poll.poll()


WAITS: dict[str, Callable[[], object]] = {
    "read": lambda: os.read(R1, 1),
    "poll": _poll,
    "epoll": lambda: EPOLL.poll(),
    "select": lambda: select.select([R4], [], []),
    "receive": lambda: RIGHT.recv(1),
    "sigwait": lambda: signal.sigwait({signal.SIGUSR1}),
    "sleep": lambda: time.sleep(1.5),
}
WOKEN: list[str] = []
THREADS = []
BEGAN = time.monotonic()


def _run(name: str) -> None:
    WAITS[name]()
    WOKEN.append(name)


for _name in WAITS:
    THREADS.append(threading.Thread(target=_run, args=(_name,), daemon=True))
    THREADS[-1].start()


def handler(event: Any, context: Any) -> dict[str, Any]:
    early = list(WOKEN)
    if event["call"] == 1:
        assert set(early) <= {"sleep"}, early
        for fd in (W1, W2, W3, W4):
            os.write(fd, b"x")
        LEFT.send(b"x")
        os.kill(os.getpid(), signal.SIGUSR1)
    for thread in THREADS:
        thread.join(10)
    return {"woken": sorted(WOKEN), "slept": time.monotonic() - BEGAN >= 1.4}
