"""A coroutine, an async generator and a generator, each stopped in its middle."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

SAME = ("generator", "async_generator", "coroutine")
LAYOUT = "lazy"


def _count() -> Iterator[int]:
    number = 0
    try:
        while True:
            number += 1
            yield number
    finally:
        number = -1


async def _spell() -> AsyncIterator[str]:
    for letter in "abcdefgh":
        yield letter


class _Pause:
    def __await__(self) -> Any:
        received = yield "paused"
        return received


async def _half() -> str:
    return f"got {await _Pause()}"


COUNT, SPELL, HALF = _count(), _spell(), _half()
next(COUNT)
asyncio.run(SPELL.__anext__())  # type: ignore[arg-type]
HALF.send(None)
DONE: list[str] = []


def handler(event: Any, context: Any) -> dict[str, Any]:
    if not DONE:
        try:
            HALF.send(42)
        except StopIteration as end:
            DONE.append(end.value)

    async def next_letter() -> str:
        return await SPELL.__anext__()

    return {"generator": next(COUNT), "async_generator": asyncio.run(next_letter()), "coroutine": DONE[0]}
