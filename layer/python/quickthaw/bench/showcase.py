"""The demo from end to end: build the function, freeze it, compare every way to start it.

    task directory -> snapshot -> bench -> pictures

What ``make demo`` runs, and ``make bench`` and ``make soak`` with more runs.
Task directory and snapshot are kept while their inputs are the same: the
handler and its requirements, the built layer, this package, the events, the
interpreter, the kernel.

The function is warmed with one event and measured with another, so that no
answer lies ready in the snapshot.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import quickthaw
from quickthaw import names
from quickthaw.bench import demo
from quickthaw.bench.arms import choose, layouts_of
from quickthaw.bench.disk import WARM, Disk
from quickthaw.bench.layouts import provide
from quickthaw.bench.record import FILE
from quickthaw.bench.run import Order
from quickthaw.checkpoint import run as checkpoint
from quickthaw.checkpoint.order import CheckpointOrder
from quickthaw.emulator.site import runtime_site
from quickthaw.sandbox.spec import SandboxSpec

WARM_UP = "risk"
MEASURED = "risk-large"
_KEY = "snapshot.key"

OnStage = Callable[[str, float | None], None]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """The demo, ready to be measured.

    Attributes:
        task: its task directory.
        snapshot: its snapshot.
        kept: the snapshot is an earlier run's.
    """

    task: Path
    snapshot: Path
    kept: bool


def home() -> Path:
    """Return where the demo's snapshot is kept, in the clone that this package runs from."""
    return demo.root() / "build" / "demo"


def prepare(
    out: Path, *, python: Path, layer: Path, on_stage: OnStage = lambda _stage, _done: None
) -> Prepared:
    """Build the task directory and the snapshot, or find them.

    Args:
        out: directory of the snapshot and its key.
        python: interpreter of the function.
        layer: the built layer.
        on_stage: called with the stage and how much of it is done (0 to 1, None where unknown).

    Raises:
        Unavailable, ToolFailed, CannotFreeze, FunctionFailed: see `demo.task_dir` and `checkpoint`.
    """
    on_stage("install the demo function", None)
    task = demo.task_dir(python)
    snapshot, key_file = out / "snapshot", out / _KEY
    out.mkdir(parents=True, exist_ok=True)
    key = _key(task, python, layer)
    if key_file.is_file() and key_file.read_text() == key and (snapshot / "manifest.json").is_file():
        return Prepared(task=task, snapshot=snapshot, kept=True)
    key_file.unlink(missing_ok=True)
    event = demo.event_file(WARM_UP)
    order = CheckpointOrder(
        task=task,
        handler=demo.HANDLER,
        events=[(event.name, event.read_text())],
        out=snapshot,
        python=python,
        runtime=runtime_site(python),
        layer=layer,
        keep_uncompressed=True,  # for criu-plain
    )
    checkpoint.checkpoint(order, on_progress=on_stage)
    key_file.write_text(key)
    return Prepared(task=task, snapshot=snapshot, kept=False)


def order(
    prepared: Prepared, *, out: Path, python: Path, layer: Path, runs: int,
    arms: tuple[str, ...] = (), disk: Disk = WARM, soak: bool = False,
    on_stage: OnStage = lambda _stage, _done: None,
) -> Order:  # fmt: skip
    """Return the bench of the demo; plans the native layouts that the snapshot does not hold.

    Args:
        arms: names; all when empty, all but the cold start in a soak.
        soak: each arm's runs in a row.
        on_stage: as for `prepare`.
    """
    event = demo.event_file(MEASURED)
    chosen = [arm for arm in choose(arms) if arms or not soak or arm.engine != "cold"]
    layouts = provide(
        prepared.snapshot, layouts_of(chosen), prepared.snapshot.parent / "layouts",
        sandbox=SandboxSpec(python=python, task=prepared.task, layer=layer, runtime=runtime_site(python)),
        on_stage=on_stage,
    )  # fmt: skip
    return Order(
        snapshot=prepared.snapshot,
        task=prepared.task,
        python=python,
        layer=layer,
        events=[(event.name, event.read_bytes())],
        arms=chosen,
        runs=runs,
        disk=disk,
        out=out,
        insist=frozenset(arms),
        interleave=not soak,
        layouts=layouts,
    )


def publish(out: Path, to: Path, files: tuple[Path, ...], *, record: str = FILE) -> None:
    """Copy a record, bench.json or another, and its pictures to where the README takes its figures from."""
    to.mkdir(parents=True, exist_ok=True)
    for file in (out / record, *files):
        shutil.copyfile(file, to / file.name)


def _key(task: Path, python: Path, layer: Path) -> str:
    """Return a digest of everything that the snapshot is made from."""
    seen = hashlib.sha256()
    parts = [demo.state(task), demo.event_file(WARM_UP).read_text(), os.uname().release, str(python)]
    parts += [str(names.FORMAT)]
    for part in parts:
        seen.update(part.encode() + b"\0")
    for file in _files(layer, Path(quickthaw.__file__).parent):
        seen.update(str(file).encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return seen.hexdigest()


def _files(layer: Path, package: Path) -> Iterator[Path]:
    """Yield the files that shape a snapshot: the layer's, and what freezes and packs."""
    for top in (layer, package / "checkpoint", package / "snapshot", package / "plan"):
        yield from sorted(path for path in top.rglob("*") if path.is_file() and path.suffix != ".pyc")
