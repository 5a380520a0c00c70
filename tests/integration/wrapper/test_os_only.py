"""provided.al2023: Lambda starts /opt/bootstrap; the function brings Python and its runtime client."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from quickthaw import names
from quickthaw.cli.app import app
from quickthaw.emulator.api import Call, Invocation, RuntimeApi
from quickthaw.emulator.runtime import Runtime
from quickthaw.emulator.site import runtime_site
from quickthaw.errors import UsageError
from quickthaw.sandbox.layout import layout
from quickthaw.sandbox.spec import SandboxSpec
from typer.testing import CliRunner

from tests.conftest import VICTIMS

DEADLINE_S = 30.0


@dataclass(frozen=True)
class Served:
    """What came of one environment: the answer and the bootstrap's log lines."""

    answer: dict[str, Any]
    lines: list[dict[str, Any]]


Serve = Callable[..., Served]


@pytest.fixture
def task(python: Path, tmp_path: Path) -> Path:
    """The small victim with the runtime client beside it, as a function for an OS-only runtime is packed."""
    directory = tmp_path / "task"
    shutil.copytree(VICTIMS / "small", directory)
    shutil.copytree(runtime_site(python), directory, dirs_exist_ok=True)
    return directory


@pytest.fixture
def serve(needs_root: None, task: Path, layer: Path, python: Path) -> Serve:
    """serve(snapshot, **environment): starts /opt/bootstrap as Lambda does, and sends one event."""

    def run(snapshot: Path | None, **more: str) -> Served:
        spec = SandboxSpec(python=python, task=task, layer=layer, snapshot=snapshot)
        lines: list[str] = []
        with RuntimeApi() as api:
            # No PYTHONPATH, no AWS_EXECUTION_ENV: AWS, "Defined runtime environment variables".
            environ = {
                "PATH": "/usr/local/bin:/usr/bin/:/bin:/opt/bin", "LD_LIBRARY_PATH": layout(spec).lang_lib,
                "LAMBDA_TASK_ROOT": "/var/task", "_HANDLER": "app.handler", "LANG": "en_US.UTF-8",
                "AWS_LAMBDA_RUNTIME_API": api.address, "AWS_LAMBDA_FUNCTION_NAME": "function",
                "AWS_REGION": "us-east-1", **more,
            }  # fmt: skip
            runtime = Runtime(
                spec, ["/opt/bootstrap"], environ, api=api, print_line=lines.append, before_exec=None,
                timeout_s=DEADLINE_S,
            )  # fmt: skip
            try:
                runtime.start()
                deadline_s = time.monotonic() + DEADLINE_S
                assert isinstance(runtime.await_next(deadline_s), float), lines
                api.offer(
                    Invocation(
                        request_id="1", event=b'{"numbers": [4, 5]}', function_arn="arn", trace_id="",
                        deadline_ms=int((time.time() + DEADLINE_S) * 1000),
                    )
                )  # fmt: skip
                call = runtime.await_answer("1", deadline_s)
                assert isinstance(call, Call) and call.kind == "response", lines
                runtime.drain()
            finally:
                runtime.close()
        found = [json.loads(line) for line in lines if line.startswith('{"quickthaw"')]
        return Served(json.loads(call.body), found)

    return run


@pytest.fixture
def snapshot(task: Path, python: Path, layer: Path, tmp_path: Path) -> Path:
    """Of that function, frozen where there is no /var/runtime."""
    (tmp_path / "event.json").write_text('{"numbers": [1]}')
    order = ["checkpoint", "--os-only", "--task", str(task), "--handler", "app.handler", "--level", "3"]
    order += ["--event", str(tmp_path / "event.json"), "--python", str(python), "--layer", str(layer)]
    ran = CliRunner().invoke(app, [*order, "--out", str(tmp_path / "snapshot")])
    assert ran.exit_code == 0, ran.output
    return tmp_path / "snapshot"


def interpreter(task: Path, python: Path) -> str:
    return layout(SandboxSpec(python=python, task=task)).python


def test_a_snapshot_is_thawed(snapshot: Path, serve: Serve) -> None:
    served = serve(snapshot, QUICKTHAW_PYTHON="/nowhere/python3")  # the snapshot has its own
    assert (served.answer["sum"], served.answer["hooks"][-1]) == (100_009, "second after")
    assert [line["engine"] for line in served.lines] == ["native"]
    assert "AWS_EXECUTION_ENV" not in served.answer["environ"]


def test_without_one_the_functions_own_python_runs_its_client(task: Path, python: Path, serve: Serve) -> None:
    (task / "bin").mkdir()
    (task / "bin" / "python3").symlink_to(interpreter(task, python))
    served = serve(None)
    assert (served.answer["sum"], served.answer["hooks"]) == (100_009, [])
    assert served.lines[0]["engine"] == "cold" and "no native plan" in served.lines[0]["reason"]
    assert "/var/task/bin/python3 -m awslambdaric app.handler" in served.answer["commands"]


def test_the_python_can_be_named(task: Path, python: Path, serve: Serve) -> None:
    named = interpreter(task, python)
    served = serve(None, **{names.ENV_PYTHON: named})
    assert f"{named} -m awslambdaric app.handler" in served.answer["commands"]
    assert served.answer["environ"][names.ENV_PYTHON] == named


def test_a_python_of_a_layer_is_found_in_path(task: Path, python: Path, serve: Serve) -> None:
    home = str(Path(interpreter(task, python)).parent)
    served = serve(None, PATH=f"{home}:/opt/bin")
    assert "python3 -m awslambdaric app.handler" in served.answer["commands"]


def test_a_python_in_path_is_found_by_the_bootstrap_too(task: Path, python: Path, serve: Serve) -> None:
    """A snapshot in S3 is the bootstrap's business: what it declines it starts itself."""
    home = str(Path(interpreter(task, python)).parent)
    nowhere = {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9", names.ENV_SNAPSHOT: "s3://bucket/prefix"}
    served = serve(None, PATH=f"{home}:/opt/bin", **nowhere)
    assert "python3 -m awslambdaric app.handler" in served.answer["commands"]
    (line,) = served.lines
    assert line["engine"] == "cold" and "s3://bucket/prefix" in line["reason"]


def test_with_the_engine_off_it_is_a_plain_start(task: Path, python: Path, small: Path, serve: Serve) -> None:
    served = serve(small, QUICKTHAW_ENGINE="off", **{names.ENV_PYTHON: interpreter(task, python)})
    assert served.answer["hooks"] == []
    assert [line["reason"] for line in served.lines] == ["engine off"]


def test_a_function_without_a_client_is_not_frozen_for_it(tmp_path: Path) -> None:
    order = ["checkpoint", "--os-only", "--task", str(VICTIMS / "small"), "--handler", "app.handler"]
    ran = CliRunner().invoke(app, [*order, "--out", str(tmp_path / "snapshot")])
    assert isinstance(ran.exception, UsageError) and "holds no awslambdaric" in str(ran.exception)
