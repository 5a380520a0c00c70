"""Measure all of it on the demo's snapshot, and keep every sample in costs.json.

    verify, search for secrets -> declined starts -> cold, from a layer, from a bucket

The file is written after each step, so that nothing is lost when a later one fails.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from quickthaw import names
from quickthaw.bench import machine
from quickthaw.bench.costs import declined, fetched
from quickthaw.bench.costs.record import DECLINED, DECLINED_BY_BOTH, SECRETS, VERIFY, Costs, write
from quickthaw.bench.doubts import doubts
from quickthaw.bench.run import Order, function_task
from quickthaw.bench.showcase import OnStage
from quickthaw.checkpoint import verify
from quickthaw.emulator.site import runtime_site
from quickthaw.errors import BadSnapshot, ToolFailed
from quickthaw.sandbox.spec import Kind, SandboxSpec
from quickthaw.secrets import verdict
from quickthaw.secrets.wanted import wanted
from quickthaw.snapshot import manifest

_FEW = 5  # counted runs of what takes seconds
_NOWHERE = "/opt/no-snapshot"


def measure(order: Order, *, on_stage: OnStage = lambda _stage, _done: None) -> Costs:
    """Measure everything; `order` is the demo's bench with a native layout lz4.

    Raises:
        BadSnapshot: the snapshot is not as it was made.
        FunctionFailed, ToolFailed, Unavailable: see `fetched.measure` and `declined.measure`.
    """
    order.out.mkdir(parents=True, exist_ok=True)
    costs = Costs(machine=machine.describe(), workload=_workload(order))
    neighbours = machine.Neighbours()
    for step in (_verify, _secrets, _declined, _fetched):
        neighbours.look()
        samples = {**costs.samples, **step(order, on_stage)}
        found = doubts((), cpus=costs.machine["cpus"], others=neighbours.used, stolen=neighbours.stolen)
        costs = replace(costs, samples=samples, doubts=found)
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
        "snapshot_bytes": sum(entry["size"] for entry in found.files),
        "fetched_bytes": packed.stat().st_size,
        **asdict(fetched.NETWORK),
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

        return {VERIFY: _timed(order, VERIFY, once, on_stage)}


def _secrets(order: Order, on_stage: OnStage) -> dict[str, list[float]]:
    def once() -> None:
        verdict.examine(order.snapshot, wanted(os.environ))

    return {SECRETS: _timed(order, "look for secrets", once, on_stage)}


def _timed(order: Order, stage: str, once: Callable[[], None], on_stage: OnStage) -> list[float]:
    """Seconds of each run but the first."""
    runs, times = min(_FEW, order.runs), []
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
        starts = declined.measure(spec, cases, rounds=order.runs, real=kind == "criu")[DECLINED]
        if _NOWHERE not in starts.log:
            raise ToolFailed(f"a start was declined for another reason than was meant: {starts.log}")
        return starts.more_s

    return {DECLINED: more_s("lambda"), DECLINED_BY_BOTH: more_s("criu")}


def _fetched(order: Order, on_stage: OnStage) -> dict[str, list[float]]:
    done, total = 0, len(fetched.STARTS) * (order.runs + 1)

    def on_start() -> None:
        nonlocal done
        done += 1
        on_stage("cold, from a layer, from a bucket", done / total)

    return fetched.measure(order, on_start=on_start)
