"""`quickthaw invoke` as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from quickthaw.cli.app import app
from quickthaw.errors import UsageError
from typer.testing import CliRunner, Result

MEMBERS = {
    "answers", "errors", "init_s", "first_response_s", "billed_ms", "engine", "mode", "reason", "log",
}  # fmt: skip


@pytest.fixture
def event(tmp_path: Path) -> Path:
    path = tmp_path / "event.json"
    path.write_text('{"n": 1}')
    return path


def _quickthaw(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "quickthaw.cli.app", *map(str, words)]
    environ = {**os.environ, "COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"}
    return subprocess.run(command, capture_output=True, text=True, env=environ, check=False, **options)


def test_n_environments_get_all_events_and_the_json_file_holds_them(
    task: Path, event: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.json"
    done = _quickthaw(
        "invoke", "--cold", "--task", task, "--handler", "app.handler", "--event", event, "--event", event,
        "-n", 2,
        "--env", "OWN=mine", "--json", out,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    runs = json.loads(out.read_text())
    assert len(runs) == 2
    for run in runs:
        assert {
            "answers",
            "errors",
            "init_s",
            "first_response_s",
            "billed_ms",
            "engine",
            "mode",
            "reason",
            "log",
        } <= set(run)
        assert [answer["calls"] for answer in run["answers"]] == [1, 2]
        assert run["errors"] == []
        assert (run["engine"], run["mode"], run["reason"]) == ("cold", None, None)
        assert 0 < run["init_s"] < run["first_response_s"]
        assert all(line in done.stdout for line in run["log"])
    assert done.stdout.count("REPORT RequestId: ") == 4
    assert "median" in done.stdout


def test_an_event_that_fails_is_told_by_exit_code_6(task: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text('{"raise": "no"}')
    out = tmp_path / "out.json"
    done = _quickthaw(
        "invoke", "--cold", "--task", task, "--handler", "app.handler", "--event", bad, "--json", out
    )
    assert done.returncode == 6
    assert "1 of 1 events were not answered" in done.stderr
    [run] = json.loads(out.read_text())
    assert run["answers"] == [None]
    assert run["errors"][0]["errorType"] == "ValueError"


def _in_process(*words: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], input=stdin)


def test_json_to_standard_output_is_json_alone(task: Path, event: Path) -> None:
    cold = ("invoke", "--cold", "--task", task, "--handler", "app.handler")
    done = _in_process(*cold, "--event", event, "--json", "-")
    assert json.loads(done.stdout)[0]["answers"][0]["n"] == 1
    assert "REPORT RequestId: " in done.stderr


def test_an_event_from_standard_input(task: Path) -> None:
    cold = ("invoke", "--cold", "--task", task, "--handler", "app.handler")
    done = _in_process(*cold, "--event", "-", "--json", "-", stdin='{"n": 42}')
    assert json.loads(done.stdout)[0]["answers"][0]["n"] == 42


def test_memory_is_what_the_function_sees(task: Path, event: Path) -> None:
    cold = ("invoke", "--cold", "--task", task, "--handler", "app.handler")
    done = _in_process(*cold, "--event", event, "--memory", 512, "--json", "-")
    assert json.loads(done.stdout)[0]["answers"][0]["memory"] == "512"


COLD = ["--cold", "--task", "TASK", "--handler", "app.handler"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--event", "EVENT"], "there is no snapshot to thaw"),
        (["--cold", "--event", "EVENT"], "--task names no directory"),
        (["--cold", "--task", "TASK", "--event", "EVENT"], "--cold needs --handler"),
        (["--cold", "SNAP", "--event", "EVENT"], "either a snapshot or --cold"),
        (COLD, "there is no event"),
        ([*COLD, "--event", "EVENT", "--engine", "warp"], "--engine warp"),
        ([*COLD, "--event", "EVENT", "--mode", "slow"], "--mode slow"),
        ([*COLD, "--event", "EVENT", "--env", "X"], "NAME=VALUE"),
        ([*COLD, "--event", "EVENT", "--sandbox", "vm"], "no sandbox vm"),
        ([*COLD, "--event", "EVENT", "--json", "/nowhere/out.json"], "/nowhere/out.json cannot be written"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(
    task: Path, event: Path, words: list[str], message: str
) -> None:
    places = {"TASK": str(task), "EVENT": str(event)}
    done = _in_process("invoke", *[places.get(word, word) for word in words])
    assert isinstance(done.exception, UsageError), done.output
    assert message in str(done.exception)
