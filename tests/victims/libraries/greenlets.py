"""Greenlets that were switched away from, each with a piece of the C stack."""

from typing import Any

from greenlet import getcurrent, greenlet

SAME = ("values", "dead", "parent")


def _count(start: int) -> str:
    number = start
    while True:
        number += MAIN.switch(number)


MAIN = getcurrent()
COUNTERS = [greenlet(_count) for _ in range(5)]
STARTED = [counter.switch(10 * place) for place, counter in enumerate(COUNTERS)]
DEAD = greenlet(lambda: "done")
DEAD.switch()


def handler(event: Any, context: Any) -> dict[str, Any]:
    MAIN_NOW = getcurrent()
    values = [counter.switch(event["call"]) for counter in COUNTERS]
    return {"values": [STARTED, values], "dead": DEAD.dead, "parent": COUNTERS[0].parent is MAIN_NOW}
