"""A client session of aiohttp on an event loop, made at import."""

import asyncio
from typing import Any

import aiohttp
from aiohttp import web

SAME = ("answer", "loop", "timer")

LOOP = asyncio.new_event_loop()


async def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(headers={"X-Victim": "yes"}, timeout=aiohttp.ClientTimeout(5))


SESSION = LOOP.run_until_complete(_session())
RANG: list[str] = []
LOOP.call_later(1.0, RANG.append, "soon")


async def _ask(call: int) -> str:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=f"{request.path} {request.headers['X-Victim']}")

    application = web.Application()
    application.router.add_get("/{name}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with SESSION.get(
        f"http://127.0.0.1:{port}/call{call}", headers={"Connection": "close"}
    ) as response:
        text = await response.text()
    await runner.cleanup()
    while not RANG:
        await asyncio.sleep(0.01)
    return text


def handler(event: Any, context: Any) -> dict[str, Any]:
    answer = LOOP.run_until_complete(asyncio.wait_for(_ask(event["call"]), 20))
    return {"answer": answer, "loop": type(LOOP).__module__, "timer": RANG}
