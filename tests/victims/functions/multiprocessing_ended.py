"""Processes of multiprocessing that have ended, their shared array, and more of them afterwards."""

import multiprocessing
from multiprocessing.sharedctypes import RawArray
from typing import Any

SAME = ("before", "array", "piped", "children")
MODES = ("async", "sync", "plain")

FORK = multiprocessing.get_context("fork")
ARRAY = RawArray("i", 5000)
HERE, THERE = FORK.Pipe()


def _fill(start: int) -> None:
    for place in range(10):
        ARRAY[start + place] = start + place
    THERE.send(start)


PROCESS = FORK.Process(target=_fill, args=(100,))
PROCESS.start()
BEFORE = HERE.recv()
PROCESS.join()


def handler(event: Any, context: Any) -> dict[str, Any]:
    process = FORK.Process(target=_fill, args=(1000 * event["call"],))
    process.start()
    piped = HERE.recv() if HERE.poll(10) else None
    process.join(10)
    return {
        "before": [BEFORE, PROCESS.exitcode, process.exitcode],
        "array": [sum(ARRAY), ARRAY[105]],
        "piped": piped,
        "children": len(multiprocessing.active_children()),
    }
