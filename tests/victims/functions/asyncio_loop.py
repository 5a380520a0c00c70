"""An event loop with a task that waits, a timer years ahead, a queue with items and a signal handler."""

import asyncio
import signal
from typing import Any

SAME = ("waited", "queued", "timer", "signals")
PYTHONS = ("3.12", "3.13")

LOOP = asyncio.new_event_loop()
SIGNALS: list[str] = []
YEARS_S = 10**9  # longer than a machine is up: its clock is another one after a thaw


async def _prepare() -> tuple[Any, ...]:
    gate, queue = asyncio.Event(), asyncio.Queue[int]()
    queue.put_nowait(7)
    task = asyncio.ensure_future(_wait(gate))
    await asyncio.sleep(0)
    return gate, queue, task


async def _wait(gate: asyncio.Event) -> str:
    await gate.wait()
    return "opened"


GATE, QUEUE, TASK = LOOP.run_until_complete(_prepare())
TIMER = LOOP.call_later(YEARS_S, SIGNALS.append, "years are over")
LOOP.add_signal_handler(signal.SIGUSR1, SIGNALS.append, "usr1")


async def _use() -> tuple[str, int]:
    GATE.set()
    signal.raise_signal(signal.SIGUSR1)
    await asyncio.sleep(0.01)
    QUEUE.put_nowait(await QUEUE.get())
    return await TASK, QUEUE.qsize()


def handler(event: Any, context: Any) -> dict[str, Any]:
    SIGNALS.clear()
    waited, queued = LOOP.run_until_complete(_use())
    left = TIMER.when() - LOOP.time()
    return {"waited": waited, "queued": queued, "timer": 0 < left <= YEARS_S, "signals": SIGNALS}
