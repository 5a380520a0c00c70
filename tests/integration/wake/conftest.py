"""Small functions, each with one thing to renew, frozen once and thawed by both engines."""

from __future__ import annotations

import json
import shutil
import sysconfig
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from quickthaw.emulator.run import EnvironmentRun, FunctionSpec, run_environment
from quickthaw.emulator.site import runtime_site

from tests.conftest import Freezer

SITE = Path(sysconfig.get_paths()["purelib"])
ENGINES = ("native", "criu")


class Function:
    """One function: `freeze` it, then `thaw` it or start it cold."""

    def __init__(self, place: Path, freezer: Freezer, layer: Path, python: Path) -> None:
        self.task = place / "task"
        self.snapshot = place / "snapshot"
        self.task.mkdir()
        self._freezer = freezer
        self._layer = layer
        self.python = python

    def write(self, source: str, *packages: str) -> None:
        """The module `app`, and packages of this environment beside it."""
        (self.task / "app.py").write_text(textwrap.dedent(source))
        for package in packages:
            for path in SITE.glob(f"{package}*"):
                if path.is_dir() and not (self.task / path.name).exists():
                    ignored = shutil.ignore_patterns("tests", "__pycache__")
                    shutil.copytree(path, self.task / path.name, ignore=ignored)
                elif path.is_file():
                    shutil.copy2(path, self.task)

    def freeze(self, *events: object, **more: Any) -> None:
        """Makes the snapshot; the events warm up."""
        texts = [(f"{number}.json", json.dumps(event)) for number, event in enumerate(events)]
        self._freezer(self.task, self.snapshot, events=texts, python=self.python, **more)

    def start(self, engine: str, *events: object, **more: Any) -> EnvironmentRun:
        """One environment, started by an engine, or "cold"."""
        spec = FunctionSpec(
            task=self.task,
            handler="app.handler",
            python=self.python,
            runtime=runtime_site(self.python),
            layer=self._layer,
            snapshot=None if engine == "cold" else self.snapshot,
            engine="off" if engine == "cold" else engine,
            **more,
        )
        return run_environment(spec, [json.dumps(event).encode() for event in events or ({},)])

    def thaw(self, engine: str, *events: object, **more: Any) -> Any:
        """The first answer of an environment that must have been thawed."""
        run = self.start(engine, *events, **more)
        assert run.errors == (), run.log
        assert (run.engine, run.reason) == (engine, None), run.log
        return run.answers[0]

    def cold(self, *events: object, **more: Any) -> Any:
        """The first answer of a cold start."""
        run = self.start("cold", *events, **more)
        assert run.errors == (), run.log
        return run.answers[0]

    def reason(self, engine: str, **more: Any) -> str:
        """Why a start was cold after all."""
        run = self.start(engine, **more)
        assert run.errors == (), run.log
        assert run.engine == "cold", run.log
        return str(run.reason)


MakeFunction = Callable[..., Function]


@pytest.fixture
def function(tmp_path: Path, freeze: Freezer, layer: Path, python: Path) -> Function:
    """A function on the interpreter of this environment."""
    return Function(tmp_path, freeze, layer, python)
