"""The event loop of uvloop: libuv takes io_uring where it is permitted, which Lambda's filter does not."""

import asyncio
from typing import Any

import uvloop

SAME = ("loop", "timer", "task")

LOOP = uvloop.new_event_loop()
RANG: list[str] = []
LOOP.call_later(1.0, RANG.append, "soon")


async def _wait() -> str:
    while not RANG:
        await asyncio.sleep(0.01)
    return "done"


TASK = LOOP.create_task(_wait())


def handler(event: Any, context: Any) -> dict[str, Any]:
    task = LOOP.run_until_complete(asyncio.wait_for(TASK, 20))
    return {"loop": type(LOOP).__module__, "timer": RANG, "task": task}
