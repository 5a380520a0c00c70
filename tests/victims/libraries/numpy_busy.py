"""Threads that multiply matrices at the moment of the freeze, in BLAS with vector registers."""

import threading
from typing import Any

import numpy as np

SAME = ("wrong", "running")

A = np.random.default_rng(3).random((120, 120))
EXPECTED = A @ A
SINES = np.sin(A).sum()
WRONG: list[str] = []
ROUNDS = [0, 0]
STOP = threading.Event()


def _multiply() -> None:
    while not STOP.is_set():
        if not np.array_equal(A @ A, EXPECTED):
            WRONG.append("product")
        ROUNDS[0] += 1


def _sines() -> None:
    while not STOP.is_set():
        if np.sin(A).sum() != SINES:
            WRONG.append("sines")
        ROUNDS[1] += 1


THREADS = [threading.Thread(target=work, daemon=True) for work in (_multiply, _sines)]
for _thread in THREADS:
    _thread.start()


def handler(event: Any, context: Any) -> dict[str, Any]:
    before = list(ROUNDS)
    running = all(thread.is_alive() for thread in THREADS)
    while event["call"] == 1 and min(now - then for now, then in zip(ROUNDS, before, strict=True)) < 20:
        THREADS[0].join(0.001)
    STOP.set()
    for thread in THREADS:
        thread.join(10)
    return {"wrong": WRONG, "running": running if event["call"] == 1 else True}
