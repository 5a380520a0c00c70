"""Thaws in the emulator, and what must hold after each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from quickthaw.emulator.run import EnvironmentRun, FunctionSpec, run_environment

VICTIM = Path(__file__).resolve().parents[2] / "victims" / "small"

Thaw = Callable[..., EnvironmentRun]


@pytest.fixture
def thaw(needs_root: None, layer: Path, python: Path) -> Thaw:
    """Starts one environment from a snapshot: thaw(snapshot, mode=..., event=..., **more of FunctionSpec)."""

    def start(
        snapshot: Path | None, *, mode: str | None = None, event: Any = None, **more: Any
    ) -> EnvironmentRun:
        settings = {"task": VICTIM, "python": python, "engine": "criu" if snapshot else "off", **more}
        spec = FunctionSpec(handler="app.handler", layer=layer, snapshot=snapshot, mode=mode, **settings)
        event = {"numbers": [4, 5]} if event is None else event
        return run_environment(
            spec, [json.dumps(event).encode(), json.dumps({**event, "settle": True}).encode()]
        )

    return start


def answers(run: EnvironmentRun) -> list[dict[str, Any]]:
    """The small victim's answers, one for each event."""
    found: list[Any] = list(run.answers)
    return found


def bootstrap_lines(run: EnvironmentRun) -> list[dict[str, Any]]:
    """Every line of the log that the bootstrap wrote."""
    return [json.loads(line) for line in run.log if line.startswith('{"quickthaw"')]


def assert_cold(run: EnvironmentRun, *reasons: str) -> None:
    """The request was answered by a cold start, with one reason in the log and nothing left behind."""
    assert run.errors == (), run.log
    answer = answers(run)[0]
    assert answer["sum"] == 100_009
    assert answer["hooks"] == [], "hooks belong to snapshots, not to cold starts"
    lines = bootstrap_lines(run)
    assert [line["engine"] for line in lines] == ["cold"], run.log
    assert any(reason in lines[0]["reason"] for reason in reasons), lines[0]["reason"]
    counted = [name for name in answer["tmp"] if name.startswith(".quickthaw-")]
    assert answer["tmp"] == counted, "at most the empty file that counts the attempt"
    assert not [command for command in answer["commands"] if "criu" in command or "boot.py" in command]
    assert sum("awslambdaric" in command for command in answer["commands"]) == 1
