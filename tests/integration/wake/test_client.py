"""The runtime client is loaded before the freeze, and talks to the address of the environment it runs in."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from quickthaw import names

from tests.integration.wake.conftest import ENGINES, Function

SOURCE = """
    import os, sys

    def handler(event, context):
        client = sys.modules["awslambdaric.lambda_runtime_client"].runtime_client
        with open("/proc/self/maps") as maps:
            paths = {line.split(None, 5)[-1].strip() for line in maps}
        copies = [path for path in paths if "runtime_client" in path or path.startswith("/tmp/#")]
        return {
            "address": os.environ["AWS_LAMBDA_RUNTIME_API"], "copies": len(copies),
            "known": sys.modules["runtime_client"] is client, "event": event,
        }
"""


@contextmanager
def usual_address_taken() -> Iterator[None]:
    """Something else listens where Lambda's Runtime API does; or nothing else can."""
    host, _, port = names.RUNTIME_API.rpartition(":")
    with socket.socket() as other:
        other.bind((host, int(port)))
        other.listen()
        yield


def check(answer: Any, address: str | None, copies: int) -> None:
    assert answer["event"] == {"n": 1} and answer["known"]
    assert answer["copies"] == copies
    assert (answer["address"] == names.RUNTIME_API) is (address is None)


@pytest.mark.criu
@pytest.mark.sandbox
@pytest.mark.parametrize("engine", ENGINES)
def test_on_lambdas_address_nothing_is_loaded_and_on_another_a_second_copy(
    function: Function, engine: str
) -> None:
    function.write(SOURCE)
    function.freeze()
    check(function.thaw(engine, {"n": 1}), None, copies=1)
    with usual_address_taken():
        check(function.thaw(engine, {"n": 1}), "another", copies=2)


@pytest.mark.criu
@pytest.mark.sandbox
def test_the_second_copy_needs_no_memfd(function: Function) -> None:
    function.write(SOURCE)
    function.freeze()
    with usual_address_taken():
        check(function.thaw("native", {"n": 1}, deny=frozenset({"memfd"})), "another", copies=2)


@pytest.mark.criu
@pytest.mark.sandbox
def test_every_python_loads_it_early(function: Function, each_python: Path) -> None:
    function.python = each_python
    function.write(SOURCE)
    function.freeze()
    check(function.thaw("native", {"n": 1}), None, copies=1)
    with usual_address_taken():
        check(function.thaw("native", {"n": 1}), "another", copies=2)
