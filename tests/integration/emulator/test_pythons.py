"""The emulator with each Python that Lambda has a runtime for."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from quickthaw.emulator.run import EnvironmentRun
from quickthaw.emulator.site import runtime_site
from quickthaw.sandbox.layout import interpreter

Invoke = Callable[..., EnvironmentRun]


def _python(version: str) -> Path | None:
    homes = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}"))
    found = homes[0] if homes else shutil.which(f"python{version}")
    return Path(found) if found else None


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_a_function_answers_on_each_supported_python(invoke: Invoke, version: str, sandbox: str) -> None:
    python = _python(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here")
    result = invoke({"n": 1}, {"n": 2}, python=python, sandbox=sandbox)
    assert result.ok, result.log
    assert f"python:{version}" in result.log[0]


def test_the_runtime_site_is_compiled_for_its_interpreter() -> None:
    python = _python("3.12") or _python("3.11")
    assert python is not None
    tag = interpreter(python).cache_tag
    assert (runtime_site(python) / "awslambdaric/__pycache__" / f"bootstrap.{tag}.pyc").exists()
