"""What all sandbox tests need: the right to make one, and a short way to run Python in it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from quickthaw.sandbox.layout import layout
from quickthaw.sandbox.process import start
from quickthaw.sandbox.spec import SandboxSpec

Inside = Callable[..., tuple[int | None, str]]


@pytest.fixture(autouse=True)
def _can_sandbox(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("sandbox") is None:
        return
    if os.geteuid() != 0:
        pytest.skip("needs root for namespaces")
    if shutil.which("bwrap") is None:
        pytest.skip("needs bubblewrap (bwrap)")


@pytest.fixture
def python() -> Path:
    """The interpreter that tests run with, unless they say otherwise."""
    return Path(sys.executable)


@pytest.fixture
def inside(python: Path) -> Inside:
    """Run Python code in a sandbox: inside(code, **spec) -> (exit code, all output)."""

    def run(code: str, **fields: Any) -> tuple[int | None, str]:
        spec = SandboxSpec(**{"python": python, **fields})
        read, write = os.pipe()
        where = layout(spec)
        environ = {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": where.lang_lib}
        with start(spec, [where.python, "-c", code], environ, stdout=write, stderr=write) as process:
            os.close(write)
            output = b""
            while data := os.read(read, 1 << 16):
                output += data
            os.close(read)
            return process.wait(10), output.decode()

    return run
