"""Measure all of it on the demo's snapshot, and keep every sample in costs.json.

    verify, search for secrets -> declined starts -> cold, from a layer, from a bucket

The file is written after each step, so that nothing is lost when a later one fails.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from quickthaw import names
from quickthaw.bench import machine
from quickthaw.bench.costs import declined, fetched
from quickthaw.bench.run import Order, function_task
from quickthaw.checkpoint import verify
from quickthaw.emulator.site import runtime_site
from quickthaw.errors import BadSnapshot, UsageError
from quickthaw.sandbox.spec import Kind, SandboxSpec
from quickthaw.secrets import verdict
from quickthaw.secrets.wanted import wanted
from quickthaw.snapshot import manifest

SCHEMA = 1
FILE = "costs.json"
VERIFY, SECRETS = "verify", "secrets"
DECLINED, DECLINED_BY_BOTH = "declined", "declined by both engines"
FETCH = {arm.name: f"init, {arm.name}" for arm in fetched.STARTS}
LEFT = "decoded after the last byte"
_FEW = 5  # counted runs of what takes seconds
_NOWHERE = "/opt/no-snapshot"

OnStage = Callable[[str, float | None], None]


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What was measured.

    Attributes:
        machine: as in bench.json.
        workload: the snapshot, the network, and how many files a thaw compares.
        samples: seconds by what they are of; those of `DECLINED` are differences.
    """

    machine: Mapping[str, Any]
    workload: Mapping[str, Any]
    samples: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def median(self, what: str) -> float:
        """The middle sample, seconds."""
        return median(self.samples[what])


def measure(order: Order, *, on_stage: OnStage = lambda _stage, _done: None) -> Costs:
    """Measure everything; `order` is the demo's bench with a native layout lz4.

    Raises:
        BadSnapshot: the snapshot is not as it was made.
        FunctionFailed, ToolFailed, Unavailable: see `fetched.measure` and `declined.measure`.
    """
    order.out.mkdir(parents=True, exist_ok=True)
    costs = Costs(machine=machine.describe(), workload=_workload(order))
    for step in (_verify, _secrets, _declined, _fetched):
        costs = replace(costs, samples={**costs.samples, **step(order, on_stage)})
        write(costs, order.out)
    return costs


def _workload(order: Order) -> dict[str, Any]:
    found = manifest.read(str(order.snapshot))
    packed = order.layouts.snapshots["lz4"] / names.NATIVE / "pages.lz4"
    return {
        "snapshot": found.id,
        "python": found.body["python"]["version"],
        "pages": found.body["pages"],
        "runs": order.runs,
        "few_runs": min(_FEW, order.runs),
        "mapped_files": len(found.mapped),
        "source_files": len(found.sources),
        "snapshot_files": len(found.files),
        "fetched_bytes": packed.stat().st_size,
        "round_trip_s": fetched.NETWORK.round_trip_s,
        "connection_bytes_per_s": fetched.NETWORK.connection_bytes_per_s,
        "bytes_per_s": fetched.NETWORK.bytes_per_s,
    }


def _verify(order: Order, on_stage: OnStage) -> dict[str, list[float]]:
    task = function_task(order.snapshot, order.task)
    runtime = runtime_site(order.python)
    with verify.lambda_root(task=task, python=order.python, runtime=runtime, layer=order.layer) as root:

        def once() -> None:
            wrong = [one for one in verify.verify(order.snapshot, root=root) if one.problem]
            if wrong:
                raise BadSnapshot(
                    f"{order.snapshot}: {wrong[0].what}: {wrong[0].problem}", hint="Make it anew."
                )

        return {VERIFY: _timed(VERIFY, once, min(_FEW, order.runs), on_stage)}


def _secrets(order: Order, on_stage: OnStage) -> dict[str, list[float]]:
    def once() -> None:
        verdict.examine(order.snapshot, wanted(os.environ))

    return {SECRETS: _timed("look for secrets", once, min(_FEW, order.runs), on_stage)}


def _timed(stage: str, once: Callable[[], None], runs: int, on_stage: OnStage) -> list[float]:
    """Seconds of each run but the first."""
    times = []
    for number in range(runs + 1):
        on_stage(stage, number / (runs + 1))
        begin = time.perf_counter()
        once()
        times.append(time.perf_counter() - begin)
    return times[1:]


def _declined(order: Order, on_stage: OnStage) -> dict[str, list[float]]:
    on_stage("start what cannot be thawed", None)

    def more_s(kind: Kind) -> list[float]:
        spec = SandboxSpec(python=order.python, layer=order.layer, kind=kind)
        # Where CRIU may restore, the wrapper asks the Python bootstrap, too.
        cases = {DECLINED: {names.ENV_SNAPSHOT: _NOWHERE}}
        return declined.measure(spec, cases, rounds=order.runs, real=kind == "criu")[DECLINED].more_s

    return {DECLINED: more_s("lambda"), DECLINED_BY_BOTH: more_s("criu")}


def _fetched(order: Order, on_stage: OnStage) -> dict[str, list[float]]:
    done, total = 0, len(fetched.STARTS) * (order.runs + 1)

    def on_start() -> None:
        nonlocal done
        done += 1
        on_stage("cold, from a layer, from a bucket", done / total)

    found = fetched.measure(order, on_start=on_start)
    starts = {FETCH[arm.name]: list(found[arm.name]) for arm in fetched.STARTS}
    return {**starts, LEFT: list(found[fetched.LEFT])}


def write(costs: Costs, directory: Path) -> Path:
    """Write costs.json, whole or not at all."""
    body = {
        "schema": SCHEMA,
        "machine": costs.machine,
        "workload": costs.workload,
        "samples": costs.samples,
        "median": {what: costs.median(what) for what in costs.samples},
    }
    path = directory / FILE
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(body, indent=1) + "\n")
    os.replace(fresh, path)
    return path


def load(path: Path) -> Costs:
    """Read a costs.json.

    Raises:
        UsageError: it is none, or of another schema.
    """
    try:
        body = json.loads(path.read_text())
        if body["schema"] != SCHEMA:
            raise UsageError(f"{path} has schema {body['schema']}, this version reads {SCHEMA}")
        return Costs(machine=body["machine"], workload=body["workload"], samples=body["samples"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is no costs file: {error}", hint="`quickthaw costs` writes them."
        ) from error
