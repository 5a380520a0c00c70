"""Run a bench: every arm the same number of times, interleaved, each run a new environment.

    reference cold start -> one uncounted run of each arm -> rounds over all arms -> doubts

Interleaving (each round in another order) spreads the machine's moods over all
arms alike; runs of one arm in a row would make a slow minute look like a slow
arm.  bench.json is written after each run, so that a failure, or Ctrl-C, loses
nothing.

A run counts only if the arm did what it promises *and* every answer equals
the reference cold start's (see `answers`).  A fall-back to a cold start
serves the request, as it should, but is a failure of the arm here.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from quickthaw.bench import machine, record
from quickthaw.bench.answers import SHARED_CREDENTIALS, difference
from quickthaw.bench.arms import COLD, Arm, missing
from quickthaw.bench.disk import WARM, Disk
from quickthaw.bench.doubts import doubts
from quickthaw.bench.layouts import Layouts
from quickthaw.bench.record import ArmResult, Bench, Sample
from quickthaw.emulator.run import EnvironmentRun, FunctionSpec, run_environment
from quickthaw.errors import FunctionFailed, UsageError
from quickthaw.names import ENV_WATCHDOG, INIT_LIMIT_S
from quickthaw.snapshot import manifest

_TIMINGS = (
    *("compare_s", "map_s", "finish_s"),  # of the native engine
    *("check_s", "decompress_s", "wait_s", "restore_s", "wake_s", "total_s", "lost_s"),
)


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to measure.

    Attributes:
        snapshot: the snapshot to thaw.
        task: the function's directory; None for the one that the snapshot was made from.
        python: interpreter of the function, on this machine.
        layer: the built layer.
        events: name and JSON text; every environment gets all of them, in order.
        arms: what to compare.
        runs: counted runs of each arm.
        disk: state of the page cache before each run.
        out: directory for bench.json.
        sandbox: "lambda", or "none" for a plain process.
        memory_mb: Lambda's memory setting.
        environ: the function's own variables.
        layouts: the same snapshot with each native layout.
        insist: arms that may not be skipped: the user asked for them by name.
        interleave: False runs the arms one after the other (a soak), without cold starts between.
    """

    snapshot: Path
    python: Path
    layer: Path
    events: Sequence[tuple[str, bytes]]
    arms: Sequence[Arm]
    runs: int
    out: Path
    task: Path | None = None
    disk: Disk = WARM
    sandbox: str = "lambda"
    memory_mb: int = 1769
    environ: Mapping[str, str] = field(default_factory=dict)
    layouts: Layouts = field(default_factory=Layouts)
    insist: frozenset[str] = frozenset()
    interleave: bool = True


@dataclass(frozen=True, kw_only=True)
class Step:
    """What just happened, for whoever shows progress; `run` is None before the first run has ended."""

    done: int
    total: int
    arm: str
    counted: bool
    run: EnvironmentRun | None
    sample: Sample | None


Progress = Callable[[Step], None]


def bench(order: Order, *, on_step: Progress = lambda _step: None) -> Bench:
    """Measure and return everything; `Bench.ok` tells whether every run counts.

    Raises:
        UsageError: there is nothing to run, or a demanded arm cannot be had from this snapshot.
        BadSnapshot: the snapshot is none.
        FunctionFailed: the reference cold start did not answer.
        Unavailable: the sandbox or the disk setting cannot be had here.
    """
    if order.runs < 1 or not order.events:
        raise UsageError("a bench needs at least one run and one event", hint="pass -n and --event")
    return _Running(order, on_step).go()


class _Running:
    def __init__(self, order: Order, on_step: Progress) -> None:
        self.order = order
        self.on_step = on_step
        self.manifest = manifest.read(str(order.snapshot))
        self.task = function_task(order.snapshot, order.task)
        self.samples: dict[str, list[Sample]] = {}
        self.skipped: dict[str, str] = {}
        self.failed: set[str] = set()
        for arm in order.arms:
            reason = missing(arm, order.snapshot, self.manifest, order.layouts)
            if reason is None:
                self.samples[arm.name] = []
            elif arm.name in order.insist:
                raise UsageError(
                    f"{arm.name} cannot run: {reason}", hint="make the snapshot anew, or leave the arm out"
                )
            else:
                self.skipped[arm.name] = reason
        self.arms = [arm for arm in order.arms if arm.name in self.samples]
        self.done = 0
        self.total = 1 + len(self.arms) * (order.runs + 1)
        self.reference: Sequence[object] = ()
        self.machine = machine.describe()
        self.neighbours = machine.Neighbours()

    def go(self) -> Bench:
        self.order.out.mkdir(parents=True, exist_ok=True)
        self._take_reference()
        for arm in self.arms:
            sample = self._run(arm, counted=False)
            if not sample.ok:
                # It would fail n times more, at a cold start's price each.
                self.samples[arm.name].append(sample)
                self.failed.add(arm.name)
                self.total -= self.order.runs
        for arm in self._sequence():
            self.samples[arm.name].append(self._run(arm, counted=True))
            record.write(self._result(), self.order.out)
        result = self._result()
        record.write(result, self.order.out)
        return result

    def _sequence(self) -> list[Arm]:
        """Return the counted runs in their order; the same for the same bench, so that it can be repeated."""
        arms = [arm for arm in self.arms if arm.name not in self.failed]
        if not self.order.interleave:
            return [arm for arm in arms for _ in range(self.order.runs)]
        chance = random.Random(self.manifest.id)
        return [arm for _ in range(self.order.runs) for arm in chance.sample(arms, len(arms))]

    def _take_reference(self) -> None:
        self.on_step(Step(done=0, total=self.total, arm=COLD.name, counted=False, run=None, sample=None))
        run = self._start(COLD)
        if run.errors:
            text = json.dumps(run.errors[0])
            raise FunctionFailed(
                f"the reference cold start did not answer: {text}",
                hint="try it with `quickthaw invoke --cold`",
            )
        self.reference = run.answers
        self.done += 1

    def _run(self, arm: Arm, *, counted: bool) -> Sample:
        run = self._start(arm)
        sample = self._sample(arm, run)
        self.done += 1
        self.on_step(
            Step(done=self.done, total=self.total, arm=arm.name, counted=counted, run=run, sample=sample)
        )
        return sample

    def _start(self, arm: Arm) -> EnvironmentRun:
        spec = function_spec(self.order, arm, task=self.task, handler=self.manifest.handler)
        self.neighbours.look()
        self.order.disk.prepare()
        return run_environment(spec, [text for _, text in self.order.events])

    def _sample(self, arm: Arm, run: EnvironmentRun) -> Sample:
        thaw = run.thaw or {}
        problem = why_not(arm, run, self.reference)
        return Sample(
            init_s=run.init_s,
            first_response_s=run.first_response_s,
            billed_ms=run.reports[0].billed_ms if run.reports else None,
            bytes_read=run.bytes_read,
            max_rss_mb=run.max_rss_mb,
            ok=problem is None,
            problem=problem,
            sequence=self.done,
            details={
                key: float(value) for key in _TIMINGS if isinstance(value := thaw.get(key), (int, float))
            },
        )

    def _result(self) -> Bench:
        arms = tuple(
            ArmResult(
                name=arm.name, runs=tuple(self.samples.get(arm.name, ())), skipped=self.skipped.get(arm.name)
            )
            for arm in self.order.arms
        )
        bare = Bench(machine=self.machine, workload=self._workload(), arms=arms)
        others, stolen = self.neighbours.used, self.neighbours.stolen
        return replace(bare, doubts=doubts(arms, cpus=self.machine["cpus"], others=others, stolen=stolen))

    def _workload(self) -> dict[str, Any]:
        body = self.manifest.body
        return {
            "handler": body["function"]["handler"],
            "python": body["python"]["version"],
            "criu": body["tool"]["criu"],
            "snapshot": self.manifest.id,
            "pages": body["pages"],
            "threads": body["process"]["threads"],
            "events": [
                {"name": name, "sha256": hashlib.sha256(text).hexdigest()} for name, text in self.order.events
            ],
            "runs": self.order.runs,
            "interleaved": self.order.interleave,
            "disk": self.order.disk.name,
            "sandbox": self.order.sandbox,
            "memory_mb": self.order.memory_mb,
        }


def function_spec(order: Order, arm: Arm, *, task: Path, handler: str) -> FunctionSpec:
    """Return the start that an arm stands for.

    On a disk that is slow on purpose a thaw may take longer than the cold start that it is to save
    on a fast one; a bench wants its figure all the same, so the watchdog waits.
    """
    thaws = arm is not COLD
    snapshot = order.snapshot
    if arm.engine == "native" and arm.mode is not None:
        snapshot = order.layouts.snapshots[arm.mode]
    patient = {ENV_WATCHDOG: f"{INIT_LIMIT_S:.0f}"} if thaws and order.disk != WARM else {}
    return FunctionSpec(
        task=task,
        handler=handler,
        python=order.python,
        layer=order.layer if thaws else None,
        snapshot=snapshot if thaws else None,
        engine=arm.engine if thaws else "auto",
        mode=arm.mode if arm.engine == "criu" else None,  # native's mode is its snapshot's layout
        sandbox="none" if order.sandbox == "none" else "lambda",
        memory_mb=order.memory_mb,
        env={**patient, **order.environ, **SHARED_CREDENTIALS},
        disk_bytes_per_s=order.disk.bytes_per_s,
    )


def why_not(arm: Arm, run: EnvironmentRun, reference: Sequence[object]) -> str | None:
    """Return why a run does not count; None for one that does.

    Args:
        reference: the cold start's answers.
    """
    if run.engine != arm.engine:
        return f"fell back to {run.engine}: {run.reason}"
    if arm is not COLD and run.mode != arm.mode:
        return f"used mode {run.mode} instead of {arm.mode}: {run.reason}"
    if run.init_s is None:
        return f"did not ask for an event within Lambda's {INIT_LIMIT_S:.0f} s for init"
    if run.errors:
        return f"the function failed: {json.dumps(run.errors[0])}"
    found = difference(reference, run.answers, shared_credentials=True)
    return f"another answer than the cold start's: {found}" if found else None


def function_task(snapshot: Path, given: Path | None = None) -> Path:
    """Return the function's directory: the given one, or the one that the snapshot was made from.

    Raises:
        BadSnapshot: the snapshot is none.
        UsageError: there is no such directory.
    """
    task = given or Path(str(manifest.read(str(snapshot)).body["function"].get("task") or "/nowhere"))
    if not task.is_dir():
        raise UsageError(
            f"the function's directory {task} is not here", hint="name the function's directory with --task"
        )
    return task
