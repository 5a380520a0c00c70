"""Processes of multiprocessing that have ended, the memory they shared, and more of them afterwards."""

import mmap
import multiprocessing
from typing import Any

SAME = ("before", "array", "piped", "children")
MODES = ("async", "sync", "plain")

FORK = multiprocessing.get_context("fork")
ARRAY = memoryview(mmap.mmap(-1, 20_000)).cast("i")
HERE, THERE = FORK.Pipe()


def _fill(start: int) -> None:
    for place in range(10):
        ARRAY[start + place] = start + place
    THERE.send(start)


PROCESS = FORK.Process(target=_fill, args=(100,))
PROCESS.start()
BEFORE = HERE.recv()
PROCESS.join()
EXITCODE = PROCESS.exitcode
PROCESS.close()  # else it keeps one end of a pipe


def handler(event: Any, context: Any) -> dict[str, Any]:
    process = FORK.Process(target=_fill, args=(1000 * event["call"],))
    process.start()
    piped = HERE.recv() if HERE.poll(10) else None
    process.join(10)
    return {
        "before": [BEFORE, EXITCODE, process.exitcode],
        "array": [sum(ARRAY), ARRAY[105]],
        "piped": piped,
        "children": len(multiprocessing.active_children()),
    }
