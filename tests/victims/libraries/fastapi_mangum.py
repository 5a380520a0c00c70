"""A FastAPI application behind Mangum, with a lifespan, a dependency and a background task."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import BackgroundTasks, Depends, FastAPI
from mangum import Mangum
from pydantic import BaseModel

SAME = ("status", "body", "missing", "background")
LAYOUT = "hot"

DONE: list[str] = []


@asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncIterator[None]:
    DONE.clear()
    yield


class Item(BaseModel):
    name: str
    count: int = 1


APP = FastAPI(lifespan=_lifespan)


def _prefix() -> str:
    return "got"


@APP.post("/items/{number}")
def item(number: int, body: Item, tasks: BackgroundTasks, prefix: str = Depends(_prefix)) -> dict[str, Any]:
    tasks.add_task(DONE.append, body.name)
    return {"number": number, "text": f"{prefix} {body.name}", "count": body.count}


ADAPTER = Mangum(APP)


def _event(path: str, body: str) -> dict[str, Any]:
    return {
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "",
        "headers": {"content-type": "application/json", "host": "example.com"},
        "requestContext": {
            "http": {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
            "stage": "$default", "timeEpoch": 0, "domainName": "example.com",
        },
        "body": body, "isBase64Encoded": False,
    }  # fmt: skip


def handler(event: Any, context: Any) -> dict[str, Any]:
    answer = ADAPTER(_event("/items/5", '{"name": "thing", "count": 2}'), context)
    wrong = ADAPTER(_event("/items/x", "{}"), context)
    return {
        "status": answer["statusCode"],
        "body": answer["body"],
        "missing": wrong["statusCode"],
        "background": DONE[:1],
    }
