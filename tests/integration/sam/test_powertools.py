"""Powertools' own layer beside ours, on one function: both are found, and a thaw is a cold start to it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from quickthaw.emulator.run import EnvironmentRun, FunctionSpec, run_environment

from tests.conftest import Freezer

# The runtime of AWS puts /opt/python on the path before it imports the function; the emulator's does not.
APP = """
import sys
sys.path.insert(1, "/opt/python")
import aws_lambda_powertools
from aws_lambda_powertools import Logger, Metrics

logger = Logger(service="both")
metrics = Metrics(namespace="Both", service="both")

@logger.inject_lambda_context
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event, context):
    logger.info("asked")
    return {"from": aws_lambda_powertools.__path__[0]}
"""
PACKAGES = ("aws_lambda_powertools", "jmespath", "typing_extensions.pyc")


@pytest.fixture
def opt(built: Path, tmp_path: Path) -> Path:
    """/opt as Lambda merges it of what SAM built and of Powertools' layer, whose packages are in python/."""
    merged = tmp_path / "opt"
    shutil.copytree(built / "QuickthawLayer", merged, symlinks=True)
    for name in PACKAGES:
        source, target = built / "DemoThawed" / name, merged / "python" / name
        assert source.exists() and not target.exists()
        shutil.copytree(source, target) if source.is_dir() else shutil.copy2(source, target)
    return merged


def test_both_layers_are_found_and_a_thaw_counts_as_a_cold_start(
    opt: Path, runtime_python: Path, freeze: Freezer, tmp_path: Path
) -> None:
    task = tmp_path / "task"
    task.mkdir(mode=0o755)
    (task / "app.py").write_text(APP)
    snapshot = freeze(task, tmp_path / "snapshot", layer=opt, python=runtime_python)

    def start(place: Path | None) -> EnvironmentRun:
        spec = FunctionSpec(
            task=task, handler="app.handler", python=runtime_python, layer=opt, snapshot=place
        )
        return run_environment(spec, [b"{}", b"{}"])

    for run, engine in ((start(None), "cold"), (start(snapshot), "native")):
        assert (run.engine, run.errors) == (engine, ()), run.reason
        assert run.answers == ({"from": "/opt/python/aws_lambda_powertools"},) * 2
        lines: list[dict[str, Any]] = [json.loads(line) for line in run.log if line.startswith("{")]
        assert [line["cold_start"] for line in lines if line.get("message") == "asked"] == [True, False]
        assert [line["ColdStart"] for line in lines if "ColdStart" in line] == [[1.0]]
