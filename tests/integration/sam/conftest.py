"""What `make sam` built; outside of `make sam` these tests are skipped where nothing was built."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, find_python

SAM = ROOT / "build" / "sam"


def not_built(what: str) -> None:
    """Skips; in `make sam`, which is there to have it, fails."""
    if os.environ.get("QUICKTHAW_SAM"):
        pytest.fail(f"{what}, and make sam should have made it")
    pytest.skip(f"{what}: `make sam` makes it")


@pytest.fixture(scope="session")
def sam_bin() -> Path:
    """Programs of the environment with aws-sam-cli."""
    if not (SAM / "venv" / ".done").exists():
        not_built("aws-sam-cli is not installed")
    return SAM / "venv" / "bin"


@pytest.fixture(scope="session", params=["3.12", "3.13"])
def version(request: pytest.FixtureRequest) -> str:
    """A runtime of the template, where its interpreter is."""
    if find_python(request.param) is None:
        pytest.skip(f"Python {request.param} is not on this machine")
    return str(request.param)


@pytest.fixture(scope="session")
def built(version: str, needs_root: None) -> Path:
    """SAM's build directory for that runtime, snapshot included; outside of `make sam` it may be stale."""
    if not os.environ.get("QUICKTHAW_SAM"):
        pytest.skip("tests of what sam builds belong to `make sam`")
    place = SAM / f"python{version}"
    if not (place / "SnapshotLayer" / "snapshot" / "manifest.json").exists():
        not_built(f"there is no build for python{version} with a snapshot")
    return place


@pytest.fixture(scope="session")
def runtime_python(version: str) -> Path:
    """The interpreter of that runtime."""
    found = find_python(version)
    assert found is not None
    return found


@pytest.fixture
def translated(sam_bin: Path) -> dict[str, Any]:
    """template.yaml as CloudFormation gets it, after AWS's translator."""
    script = Path(__file__).with_name("translate.py")
    environ = {"PATH": os.environ["PATH"], "AWS_DEFAULT_REGION": "us-east-1", "SAM_CLI_TELEMETRY": "0"}
    command = [str(sam_bin / "python"), str(script), str(ROOT / "template.yaml")]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))
