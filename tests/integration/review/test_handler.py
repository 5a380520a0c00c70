"""The scheduled function, from the review layer alone, against an account on this machine."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.integration.review.conftest import Proxy
from tests.integration.review.test_cloudwatch import GROUP, NOW, cold, fill, make_function, thawed
from tests.unit.review.test_metrics import check_embedded

ROOT = Path(__file__).resolve().parents[3]
APP = ROOT / "handler" / "review" / "app.py"
Client = Callable[[str], Any]


@pytest.fixture
def app() -> ModuleType:
    spec = importlib.util.spec_from_file_location("review_app", APP)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["review_app"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def embedded(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines() if line.startswith('{"_aws"')]


def publish(client: Any, lines: list[dict[str, Any]]) -> None:
    """What CloudWatch does with embedded metrics; moto does not."""
    for line in lines:
        directive = line["_aws"]["CloudWatchMetrics"][0]
        for names in directive["Dimensions"]:
            client.put_metric_data(
                Namespace=directive["Namespace"],
                MetricData=[
                    {
                        "MetricName": metric["Name"],
                        "Unit": metric["Unit"],
                        "Value": line[metric["Name"]],
                        "Timestamp": line["_aws"]["Timestamp"] / 1000,
                        "Dimensions": [{"Name": name, "Value": line[name]} for name in names],
                    }
                    for metric in directive["Metrics"]
                ],
            )


def test_tagged_functions_are_reviewed_logged_and_published(
    app: ModuleType, aws: Proxy, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    make_function(client)
    logs = client("logs")
    fill(logs, GROUP, "1", 4, cold)
    fill(logs, GROUP, "2", 6, thawed)
    result = app.handler({"time": (NOW + timedelta(minutes=1)).isoformat()}, None)
    assert result["failed"] == {}
    assert result["reviewed"]["risk"]["starts"] == 10
    assert result["reviewed"]["risk"]["verdict"] == "cheaper"
    output = capsys.readouterr().out
    assert "**NEW is cheaper" in output
    lines = embedded(output)
    for line in lines:
        check_embedded(line)
    assert [line.get("Start") for line in lines] == ["cold", "thawed", "warm", None]
    metrics = client("cloudwatch")
    publish(metrics, lines)
    found = metrics.get_metric_statistics(
        Namespace="Quickthaw",
        MetricName="BilledGBSeconds",
        Dimensions=[{"Name": "FunctionName", "Value": "risk"}, {"Name": "Start", "Value": "cold"}],
        StartTime=NOW - timedelta(hours=1),
        EndTime=NOW + timedelta(hours=1),
        Period=7200,
        Statistics=["Sum"],
    )
    # four cold starts of 1050 ... 1053 ms at 1 GB
    assert found["Datapoints"][0]["Sum"] == pytest.approx(4.206)


def test_without_thaws_the_period_is_compared_with_the_one_before(
    app: ModuleType, aws: Proxy, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    make_function(client)
    fill(client("logs"), GROUP, "1", 4, cold)
    result = app.handler({"time": (NOW + timedelta(minutes=1)).isoformat()}, None)
    assert result["reviewed"]["risk"]["verdict"] == "undecided"
    assert "nothing-to-compare" in result["reviewed"]["risk"]["doubts"]
    first, second = aws.of("FilterLogEvents")
    assert second["endTime"] == first["startTime"], "the period before ends where this one begins"
    assert [line.get("Start") for line in embedded(capsys.readouterr().out)] == ["cold"]


def test_a_function_that_cannot_be_reviewed_fails_the_run_only_if_it_is_alone(
    app: ModuleType, aws: Proxy, client: Client
) -> None:
    make_function(client)  # its log group does not exist
    with pytest.raises(RuntimeError, match="risk"):
        app.handler({"time": NOW.isoformat()}, None)


def test_no_tagged_function_is_no_error(app: ModuleType, aws: Proxy) -> None:
    assert app.handler({}, None) == {"reviewed": {}, "failed": {}}


def test_the_function_needs_the_review_layer_and_boto3_only(tmp_path: Path) -> None:
    subprocess.run(
        ["make", "-s", "-C", str(ROOT / "layer"), "build-ReviewLayer", f"ARTIFACTS_DIR={tmp_path}"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    script = (
        f"import sys; sys.path[:0] = [{str(tmp_path / 'python')!r}, {str(APP.parent)!r}]\n"
        "import app, quickthaw\n"
        f"assert quickthaw.__file__.startswith({str(tmp_path)!r})\n"
        "roots = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(roots & {'numpy', 'matplotlib', 'rich', 'typer', 'lz4', 'scipy', 'yaml'}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert done.stdout.strip() == "[]"
