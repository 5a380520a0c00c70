"""Threads that compute at the moment of the freeze: in Python, in C without the lock, with floats."""

import hashlib
import threading
import zlib
from collections.abc import Callable
from typing import Any

SAME = ("wrong", "running", "went_on")
PYTHONS = ("3.12", "3.13")

DATA = bytes(range(256)) * 2000


def _floats() -> object:
    total, factor = 0.0, 1.0000001
    for number in range(5000):
        total += factor * number / 3
        factor *= 1.0000001
    return total


def _integers() -> object:
    value = 1
    for number in range(1, 300):
        value = value * number % (2**521 - 1)
    return value


WORK: dict[str, Callable[[], object]] = {
    "sha": lambda: hashlib.sha256(DATA).digest(),
    "blake": lambda: hashlib.blake2b(DATA).digest(),
    "crc": lambda: zlib.crc32(DATA),
    "deflate": lambda: zlib.compress(DATA[:100_000], 6),
    "floats": _floats,
    "integers": _integers,
}
EXPECTED = {name: work() for name, work in WORK.items()}
WRONG: list[str] = []
ROUNDS = dict.fromkeys(WORK, 0)
STOP = threading.Event()


def _compute(name: str) -> None:
    while not STOP.is_set():
        if WORK[name]() != EXPECTED[name]:
            WRONG.append(name)
        ROUNDS[name] += 1


THREADS = [threading.Thread(target=_compute, args=(name,), daemon=True) for name in WORK]
for _thread in THREADS:
    _thread.start()


def handler(event: Any, context: Any) -> dict[str, Any]:
    before = dict(ROUNDS)
    running = [thread.is_alive() for thread in THREADS]
    while event["call"] == 1 and any(ROUNDS[name] < before[name] + 3 for name in WORK):
        THREADS[0].join(0.001)
    STOP.set()
    for thread in THREADS:
        thread.join(10)
    return {"wrong": WRONG, "running": running if event["call"] == 1 else True, "went_on": True}
