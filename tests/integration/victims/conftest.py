"""Freezes a victim once for both engines, and starts it: cold, or thawed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from quickthaw.emulator.run import EnvironmentRun, FunctionSpec, run_environment
from quickthaw.emulator.site import runtime_site
from quickthaw.sandbox.layout import interpreter

from tests.conftest import ROOT, Freezer, absent

from .victim import Victim

EVENTS = tuple(json.dumps({"call": number}).encode() for number in (1, 2))
WARM_UP = ("warm-up.json", json.dumps({"call": 0}))


@dataclass
class Stage:
    """One victim on one Python; the last one's snapshot and cold start are kept."""

    freeze: Freezer
    layer: Path
    place: Path
    key: tuple[object, ...] = ()
    found: dict[str, Any] = field(default_factory=dict)

    def task(self, victim: Victim, python: Path) -> Path:
        """The function's directory; a victim of libraries lies among them."""
        if victim.room != "libraries":
            return victim.path.parent
        site = ROOT / "build" / "victims" / interpreter(python).version
        if not (site / ".done").exists():
            absent(f"the victims' libraries for {interpreter(python).version} are missing: make victims")
        placed = site / victim.path.name
        if not placed.exists() or placed.read_bytes() != victim.path.read_bytes():
            shutil.copy(victim.path, placed)
            placed.chmod(0o644)
        return site

    def snapshot(self, victim: Victim, python: Path, *, layout: str = "") -> Path:
        """The victim's snapshot, made when it is not the one that was made last."""
        layout = layout or victim.first_layout
        key = (victim.path, python, layout)
        if self.key != key:
            shutil.rmtree(self.place, ignore_errors=True)
            self.key, self.found = (), {}
            out = self.freeze(
                self.task(victim, python),
                self.place / victim.name,
                handler=f"{victim.name}.handler",
                events=[WARM_UP] if layout == "hot" else [],
                layout=layout,
                level=1,
                python=python,
            )
            self.key, self.found = key, {"snapshot": out}
        return Path(self.found["snapshot"])

    def cold(self, victim: Victim, python: Path) -> EnvironmentRun:
        """An ordinary start, for comparison."""
        if "cold" not in self.found:
            self.found["cold"] = self.start(victim, python, None)
        run: EnvironmentRun = self.found["cold"]
        return run

    def start(
        self,
        victim: Victim,
        python: Path,
        snapshot: Path | None,
        engine: str = "off",
        mode: str | None = None,
    ) -> EnvironmentRun:
        """One environment, two events."""
        spec = FunctionSpec(
            task=self.task(victim, python),
            handler=f"{victim.name}.handler",
            python=python,
            runtime=runtime_site(python),
            layer=self.layer,
            snapshot=snapshot,
            engine=engine,
            mode=mode,
        )
        return run_environment(spec, EVENTS)


Starter = Callable[[Victim, Path], Sequence[EnvironmentRun]]


@pytest.fixture(scope="module")
def stage(freeze: Freezer, layer: Path, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Where victims are frozen and thawed."""
    return Stage(freeze, layer, tmp_path_factory.mktemp("victims") / "one")
