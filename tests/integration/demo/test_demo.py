"""The demo function: what it answers, what it weighs, and that it is what it says it is."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from quickthaw.bench import demo
from quickthaw.bench.answers import difference
from quickthaw.emulator.run import EnvironmentRun, FunctionSpec, run_environment

pytestmark = pytest.mark.network  # the packages are installed once, from the package index

EVENTS = ("risk", "risk-large", "risk-unknown")
LIMIT_MB = 250  # AWS: a deployment package, unzipped, all layers included


@pytest.fixture(scope="module")
def task(python: Path) -> Path:
    return demo.task_dir(python)


@pytest.fixture(scope="module")
def run(task: Path, python: Path, needs_root: None) -> EnvironmentRun:
    spec = FunctionSpec(task=task, handler=demo.HANDLER, python=python)
    return run_environment(spec, [demo.event_file(name).read_bytes() for name in EVENTS])


def bodies(run: EnvironmentRun) -> list[Any]:
    return [json.loads(answer["body"]) for answer in run.answers]  # type: ignore[index]


@pytest.mark.sandbox
def test_every_event_is_answered_by_a_cold_start(run: EnvironmentRun) -> None:
    assert run.errors == () and run.engine == "cold"
    assert [answer["statusCode"] for answer in run.answers] == [200, 200, 400]  # type: ignore[index]
    small, large, refused = bodies(run)
    assert small["value"] == pytest.approx(sum(small["by_sector"].values()), abs=0.05)
    assert set(small["by_sector"]) < set(large["by_sector"])
    for answer in (small, large):
        assert 0 < answer["value_at_risk"]["historical"] < 0.2
        assert -1 < answer["drawdown"] < 0 < answer["volatility"]
    assert "NOPE" in refused["error"]


@pytest.mark.sandbox
def test_the_link_is_signed_by_this_environment(run: EnvironmentRun) -> None:
    small, large, _ = bodies(run)
    assert "/reports/mountains.csv?" in small["report"] and "X-Amz-Signature=" in small["report"]
    assert "/reports/everything.csv?" in large["report"]


@pytest.mark.sandbox
def test_it_logs_as_powertools_does(run: EnvironmentRun) -> None:
    lines = [json.loads(line) for line in run.log if line.startswith("{")]
    (first, *_) = [line for line in lines if line.get("message") == "risk computed"]
    assert first["cold_start"] is True and len(first["environment"]) == 32
    metrics = [name for line in lines if "_aws" in line for name in line]
    assert {"ColdStart", "PortfolioValue", "BadRequest"} <= set(metrics)


@pytest.mark.sandbox
def test_two_cold_starts_answer_the_same_but_for_the_signature(
    run: EnvironmentRun, task: Path, python: Path
) -> None:
    spec = FunctionSpec(task=task, handler=demo.HANDLER, python=python)
    other = run_environment(spec, [demo.event_file(name).read_bytes() for name in EVENTS])
    assert difference(run.answers, other.answers) is None
    assert run.answers != other.answers, "another environment signs with other credentials"


_WEIGH = """
import json, sys
sys.path.insert(0, sys.argv[1])
import app, snapshot_restore_py
class context: function_name = "f"; memory_limit_in_mb = 1; invoked_function_arn = "a"; aws_request_id = "r"
app.handler(json.load(open(sys.argv[2])), context)
hooks = [f for f, _, _ in snapshot_restore_py.get_before_snapshot() + snapshot_restore_py.get_after_restore()]
name = app.logger.get_current_keys()["environment"]
for hook in hooks: hook()
rollup = dict(line.split(":") for line in open("/proc/self/smaps_rollup") if ":" in line.split()[0])
print("RESULT", json.dumps({
    "anonymous_mb": int(rollup["Anonymous"].split()[0]) / 1024,
    "threads": len(__import__("os").listdir("/proc/self/task")),
    "modules": sorted(sys.modules), "hooks": [hook.__name__ for hook in hooks],
    "renamed": name != app.logger.get_current_keys()["environment"],
}))
"""


@pytest.fixture(scope="module")
def weighed(task: Path, python: Path) -> dict[str, Any]:
    """The function in a process of its own, without a sandbox; what it looks like when it is warm."""
    environ = {
        "AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "b", "AWS_SESSION_TOKEN": "c",
        "AWS_DEFAULT_REGION": "us-east-1", "PATH": "/usr/bin:/bin",
    }  # fmt: skip
    command = [str(python), "-I", "-c", _WEIGH, str(task), str(demo.event_file())]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.rpartition("RESULT ")[2])
    return found


def test_it_weighs_over_100_mb_of_its_own_pages_in_one_thread(weighed: dict[str, Any]) -> None:
    assert weighed["anonymous_mb"] >= 100
    assert weighed["threads"] == 1


def test_it_has_the_imports_that_make_cold_starts_slow(weighed: dict[str, Any]) -> None:
    heavy = {"numpy", "pandas", "scipy.stats", "boto3", "aws_lambda_powertools.logging"}
    assert heavy <= set(weighed["modules"])
    assert not any(name.startswith("quickthaw") for name in weighed["modules"]), "it knows nothing of us"


def test_its_hooks_are_snapstarts_and_name_the_environment_anew(weighed: dict[str, Any]) -> None:
    assert weighed["hooks"] == ["settle", "become_unique"]
    assert weighed["renamed"]


def test_the_task_directory_is_built_once_and_fits_lambda(task: Path, python: Path) -> None:
    before = task.stat().st_ino
    assert demo.task_dir(python) == task
    assert task.stat().st_ino == before, "not built again"
    size = sum(path.stat().st_size for path in task.rglob("*") if path.suffix != ".pyc" and path.is_file())
    assert size < LIMIT_MB << 20
    assert not list(task.glob("*/tests"))
    assert (task / "app.py").read_text() == (demo.source_dir() / "app.py").read_text()
    assert all(path.stat().st_mode & 0o004 for path in task.rglob("*.py")), "readable for Lambda's user"


def test_stored_portfolios_are_read_from_dynamodb(task: Path, python: Path) -> None:
    script = """
import sys; sys.path.insert(0, sys.argv[1])
import app
from botocore.stub import Stubber
with Stubber(app.dynamodb) as stub:
    holdings = {"M": {"ALPS": {"N": "3"}, "ETNA": {"N": "1.5"}}}
    asked = {"TableName": "portfolios", "Key": {"id": {"S": "p"}}}
    stub.add_response("get_item", {"Item": {"holdings": holdings}}, asked)
    assert app.stored_holdings("p") == {"ALPS": 3.0, "ETNA": 1.5}
    stub.add_response("get_item", {})
    try: app.stored_holdings("q")
    except app.BadRequest as error: assert "'q'" in str(error)
    else: raise SystemExit("a portfolio out of nowhere")
"""
    environ = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
    subprocess.run([python, "-I", "-c", script, task], env=environ, check=True)


def test_requirements_are_pinned_with_hashes_for_every_python() -> None:
    lines = (demo.source_dir() / "requirements.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith((" ", "#"))]
    assert pins and all("==" in line and line.endswith("\\") for line in pins)
    wanted = {line.strip() for line in (demo.source_dir() / "requirements.in").read_text().splitlines()}
    assert {line for line in wanted if "==" in line} <= {line.rstrip(" \\") for line in pins}
