"""Functions to run in the emulator, and the sandboxes that this machine has."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from quickthaw.emulator.run import EnvironmentRun, FunctionSpec, run_environment
from quickthaw.sandbox.choose import choose

HANDLER = """
import os, signal, sys, time
print("imported", file=sys.stderr)
calls = 0
def handler(event, context):
    global calls
    calls += 1
    print("before", event.get("n"))
    if "sleep" in event: time.sleep(event["sleep"])
    if "raise" in event: raise ValueError(event["raise"])
    if "exit" in event: os._exit(event["exit"])
    if "signal" in event: os.kill(os.getpid(), event["signal"])
    if "memory" in event: bytearray(event["memory"] << 20)
    if "big" in event: return "x" * event["big"]
    print("after", file=sys.stderr)
    return {
        "n": event.get("n"), "calls": calls, "pid": os.getpid(), "id": context.aws_request_id,
        "left": context.get_remaining_time_in_millis(), "arn": context.invoked_function_arn,
        "memory": context.memory_limit_in_mb,
        "environ": {name: os.environ.get(name) for name in event.get("ask", ())},
    }
"""

Invoke = Callable[..., EnvironmentRun]


@pytest.fixture(params=["lambda", "none"])
def sandbox(request: pytest.FixtureRequest) -> str:
    """Both sandboxes, the first where root allows it."""
    wanted = str(request.param)
    kind, notice = choose(None)
    if wanted == "lambda" and kind != "lambda":
        pytest.skip(f"no Lambda-like sandbox: {notice}")
    return wanted


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A task directory whose module `app` has the handler above."""
    directory = tmp_path / "task"
    directory.mkdir()
    (directory / "app.py").write_text(HANDLER)
    return directory


@pytest.fixture
def invoke(task: Path) -> Invoke:
    """Run one environment: invoke(event, event, ..., **FunctionSpec fields)."""

    def run(*events: Any, **fields: Any) -> EnvironmentRun:
        known: dict[str, Any] = {
            "task": task,
            "handler": "app.handler",
            "python": Path(sys.executable),
            "timeout_s": 20.0,
        }
        if choose(None)[0] == "none":
            known["sandbox"] = "none"
        return run_environment(
            FunctionSpec(**(known | fields)), [json.dumps(event).encode() for event in events]
        )

    return run
