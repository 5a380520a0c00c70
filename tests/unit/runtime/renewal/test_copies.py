"""Copies of the environment's values in the heap."""

from __future__ import annotations

import gc
import subprocess
import uuid
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from quickthaw.runtime.renewal import copies

from tests.conftest import ROOT


class Slotted:
    __slots__ = ("key",)
    key: str


def fresh() -> tuple[dict[str, str], str]:
    """An environment whose key is in no other test's heap."""
    key = f"KEY-{uuid.uuid4()}"
    return {"AWS_ACCESS_KEY_ID": key}, key


def holders(key: str) -> dict[str, Any]:
    slotted = Slotted()
    slotted.key = f"{key}"

    def closed() -> Any:
        return inner

    inner = SimpleNamespace(key=str(key))
    return {
        "list": ["x", key],
        "dict": {"a": 1, "key": key},
        "ordered": OrderedDict(key=key),
        "nested": {"a": [{"b": {"key": key}}]},
        "namespace": SimpleNamespace(key=key),
        "slotted": slotted,
        "closed": closed,
    }


def values(held: dict[str, Any]) -> list[Any]:
    return [
        held["list"][1],
        held["dict"]["key"],
        held["ordered"]["key"],
        held["nested"]["a"][0]["b"]["key"],
        held["namespace"].key,
        held["slotted"].key,
        held["closed"]().key,
    ]


@pytest.mark.parametrize("out_of_sight", [False, True])
def test_every_holder_gets_the_new_value(out_of_sight: bool) -> None:
    started, key = fresh()
    held = holders(key)
    if out_of_sight:
        gc.freeze()  # as a before-snapshot hook of the function may
    try:
        found = copies.remember(started)
    finally:
        gc.unfreeze()
    copies.renew(found, {"AWS_ACCESS_KEY_ID": "new"})
    assert values(held) == ["new"] * 7
    assert started["AWS_ACCESS_KEY_ID"] == key


def test_a_variable_that_is_gone_leaves_none() -> None:
    started, key = fresh()
    held = holders(key)
    copies.renew(copies.remember(started), {})
    assert values(held) == [None] * 7


def test_other_strings_and_places_that_are_gone_are_left_alone() -> None:
    started, key = fresh()
    held = holders(key)
    held["longer"] = [f"{key}-more", f"https://example.com/?key={key}"]
    found = copies.remember(started)
    before = list(held["longer"])
    del held["dict"]["key"], held["list"][1]
    copies.renew(found, {"AWS_ACCESS_KEY_ID": "new"})
    assert held["longer"] == before
    assert held["dict"] == {"a": 1} and held["list"] == ["x"]


ASYNCIO = """
import asyncio, gc, sys
sys.path.insert(0, {package!r})
from quickthaw.runtime.renewal import copies

async def several():
    loop = asyncio.get_running_loop()
    async def one():
        done = loop.create_future()
        loop.call_soon(done.set_result, None)
        await done
    await asyncio.gather(*(one() for _ in range(5)))

loop = asyncio.new_event_loop()
loop.run_until_complete(several())
copies.remember({{"AWS_ACCESS_KEY_ID": "a key that nobody has"}})
gc.collect()
loop.run_until_complete(several())
"""


def test_looking_does_not_bring_back_what_asyncio_has_freed(each_python: Path) -> None:
    script = ASYNCIO.format(package=str(ROOT / "layer" / "python"))
    done = subprocess.run([each_python, "-I", "-c", script], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
