"""How do thaws grow with the snapshot?  One function with more and more memory, every native layout.

    for each size: freeze -> plan each layout -> bench -> growth.json

``lazy`` and ``hot`` should follow the working set, which is the same at every
size, and ``lz4`` the snapshot.  Each size is a bench of its own (see `run`),
and only its record is kept: the largest snapshot takes some 2 GB.  The file is
written after each size, and holds every run.

`slope` is what a figure gains with 100 MB of pages, by least squares over all
sizes.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import linear_regression
from typing import Any

from quickthaw import names
from quickthaw.bench import arms, files, layouts, machine
from quickthaw.bench.disk import WARM, Disk
from quickthaw.bench.record import ArmResult, Bench
from quickthaw.bench.run import Order, Progress
from quickthaw.bench.run import bench as measure
from quickthaw.checkpoint.order import CheckpointOrder
from quickthaw.checkpoint.run import checkpoint
from quickthaw.emulator.site import runtime_site
from quickthaw.errors import FunctionFailed
from quickthaw.sandbox.spec import SandboxSpec

SIZES_MB = (20, 50, 100, 200, 400, 800)
ARMS = ("native-lz4", "native-lazy", "native-hot")
FILE = "growth.json"
KEYS = ("first_response_s", "max_rss_mb", "bytes_read")
_TASK = Path(__file__).parent / "growing"
_LEARNED, _MEASURED = '{"first": 1}', '{"first": 3}'  # neighbours: the same pages, other records
_VARIABLE = "GROWTH_MB"


@dataclass(frozen=True, kw_only=True)
class Point:
    """One size.

    Attributes:
        pages_mb: MB (10^6) of pages in the snapshot, without zeros.
        arms: what was measured.
    """

    pages_mb: float
    arms: tuple[ArmResult, ...]

    def median(self, arm: str, key: str) -> float | None:
        """An arm's middle value, None where there is none."""
        return next((one.median(key) for one in self.arms if one.name == arm), None)


@dataclass(frozen=True, kw_only=True)
class Growth:
    """All sizes; machine as in bench.json."""

    machine: dict[str, Any]
    runs: int
    disk: str
    points: tuple[Point, ...] = ()

    def slope(self, arm: str, key: str) -> float | None:
        """What 100 MB more of pages add to a figure; None with less than two sizes."""
        pairs = [
            (point.pages_mb / 100, value)
            for point in self.points
            if (value := point.median(arm, key)) is not None
        ]
        if len(pairs) < 2:
            return None
        return linear_regression(*zip(*pairs, strict=True)).slope


def grow(
    out: Path, *, sizes_mb: Sequence[int], runs: int, python: Path, layer: Path, disk: Disk = WARM,
    on_stage: Callable[[str, float | None], None] = lambda _stage, _done: None,
    on_step: Progress = lambda _step: None,
) -> Growth:  # fmt: skip
    """Measure every size.

    Args:
        out: directory for growth.json; snapshots lie beside it while they are measured.
        sizes_mb: memory that the function fills, MB; the interpreter comes on top.
        runs: counted runs of each arm at each size.
        on_stage, on_step: progress, as for a checkpoint and a bench.

    Raises:
        FunctionFailed: a run fell back, failed or answered differently.
        CannotFreeze, Unavailable, ToolFailed: as a checkpoint.
    """
    out.mkdir(parents=True, exist_ok=True)
    found = Growth(machine=machine.describe(), runs=runs, disk=disk.name)
    for size in sizes_mb:
        with tempfile.TemporaryDirectory(prefix=".growing-", dir=out) as scratch:
            os.chmod(scratch, 0o755)  # the function's user reads the snapshot
            point = _point(
                Path(scratch), size, runs=runs, python=python, layer=layer, disk=disk, on_stage=on_stage,
                on_step=on_step,
            )  # fmt: skip
        found = Growth(machine=found.machine, runs=runs, disk=disk.name, points=(*found.points, point))
        write(found, out)
    return found


def _point(
    scratch: Path, size: int, *, runs: int, python: Path, layer: Path, disk: Disk,
    on_stage: Callable[[str, float | None], None], on_step: Progress,
) -> Point:  # fmt: skip
    task = scratch / "task"
    shutil.copytree(_TASK, task, ignore=shutil.ignore_patterns("__pycache__"))
    environ = {_VARIABLE: str(size)}
    order = CheckpointOrder(
        task=task, handler="app.handler", events=[("event.json", _LEARNED)], out=scratch / "snapshot",
        python=python, runtime=runtime_site(python), layer=layer, environ=environ, layout="hot",
    )  # fmt: skip
    made = checkpoint(order, on_progress=lambda stage, done: on_stage(f"{size} MB: {stage}", done))
    chosen = arms.choose(ARMS)
    where = SandboxSpec(python=python, task=task, layer=layer, runtime=order.runtime)
    native = layouts.provide(
        order.out, arms.layouts_of(chosen), scratch / "layouts", sandbox=where,
        on_stage=lambda stage, done: on_stage(f"{size} MB: {stage}", done),
    )  # fmt: skip
    result = measure(
        Order(
            snapshot=order.out, task=task, python=python, layer=layer,
            events=[("event.json", _MEASURED.encode())], arms=chosen, layouts=native, runs=runs,
            disk=disk, out=scratch / "bench", environ=environ, insist=frozenset(ARMS),
        ),
        on_step=on_step,
    )  # fmt: skip
    _demand_ok(result, size)
    pages = sum(one.pages - one.zero_pages for one in made.pages.values()) * names.PAGE_SIZE
    return Point(pages_mb=pages / 1e6, arms=result.arms)


def _demand_ok(result: Bench, size: int) -> None:
    for arm in result.arms:
        if not arm.ok:
            raise FunctionFailed(
                f"{arm.name} at {size} MB: {arm.problem}", hint="the sizes before it are kept"
            )


def write(growth: Growth, directory: Path) -> Path:
    """Write growth.json, whole or not at all."""
    body = {
        "schema": 1,
        "machine": growth.machine,
        "runs": growth.runs,
        "disk": growth.disk,
        "points": [
            {
                "pages_mb": point.pages_mb,
                "arms": {
                    arm.name: {
                        "runs": [asdict(run) for run in arm.runs],
                        "median": {key: arm.median(key) for key in KEYS},
                    }
                    for arm in point.arms
                },
            }
            for point in growth.points
        ],
        "per_100_mb": {arm: {key: growth.slope(arm, key) for key in KEYS} for arm in ARMS},
    }
    return files.write(directory / FILE, body)
