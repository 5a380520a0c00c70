"""`quickthaw bench`: compare the ways to start a function; `quickthaw.bench` does the work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from quickthaw.bench import arms, disk, layouts, plot, record, table
from quickthaw.bench.live import LiveBench
from quickthaw.bench.record import Bench
from quickthaw.bench.run import Order, function_task
from quickthaw.bench.run import bench as measure
from quickthaw.cli.options import Disk, Layer, built_layer, events, function_python, variables
from quickthaw.cli.progress import Stages
from quickthaw.emulator.site import runtime_site
from quickthaw.errors import FunctionFailed
from quickthaw.sandbox.choose import choose
from quickthaw.sandbox.spec import SandboxSpec


def command(
    snapshot: Annotated[Path, typer.Argument(metavar="SNAP", help="The snapshot directory.")],
    event: Annotated[list[Path], typer.Option("--event", help="Event, a JSON file (repeatable).")],
    out: Annotated[Path, typer.Option("--out", help="Directory for bench.json and the pictures.")],
    count: Annotated[int, typer.Option("-n", min=1, help="Counted runs of each arm.")] = 9,
    arm: Annotated[
        list[str] | None,
        typer.Option(
            "--arm",
            help=f"Arm to measure (repeatable): {', '.join(one.name for one in arms.ARMS)}.",
            show_default="all that the snapshot holds",
        ),
    ] = None,
    disk_state: Disk = "warm",
    task: Annotated[
        Path | None,
        typer.Option("--task", help="The function's directory.", show_default="the snapshot's own"),
    ] = None,
    python: Annotated[
        Path | None,
        typer.Option("--python", help="Interpreter of the function.", show_default="the snapshot's"),
    ] = None,
    env: Annotated[
        list[str] | None, typer.Option("--env", help="NAME=VALUE over what the emulator sets (repeatable).")
    ] = None,
    sandbox: Annotated[
        str | None,
        typer.Option("--sandbox", help="lambda or none.", show_default="lambda where root allows it"),
    ] = None,
    memory: Annotated[
        int, typer.Option("--memory", min=128, max=10240, help="MB that the function is told it has.")
    ] = 1769,
    in_a_row: Annotated[
        bool, typer.Option("--in-a-row", help="All runs of an arm one after the other, not interleaved.")
    ] = False,
    layer: Layer = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print bench.json instead of the tables.")] = False,
) -> None:
    """Start a function in every way, interleaved, and compare first responses and billed durations.

    Each run is a new environment that gets all the events in order; its answers
    must be the cold start's. bench.json is written after each run.

    Exit code 6 when a run fell back, failed or answered differently; 5 when the
    disk setting or the sandbox cannot be had here.
    """
    console = Console(stderr=True, highlight=False)
    kind, notice = choose(sandbox)
    if notice:
        console.print(f"notice: {notice}", style="yellow", markup=False)
    built, interpreter = built_layer(layer), function_python(snapshot, python)
    chosen = arms.choose(arm or [])
    where = SandboxSpec(
        python=interpreter, task=function_task(snapshot, task), layer=built, runtime=runtime_site(interpreter)
    )
    with Stages() as stages:
        native = layouts.provide(
            snapshot, arms.layouts_of(chosen), out / "layouts", sandbox=where, on_stage=stages.at
        )
    order = Order(
        snapshot=snapshot,
        task=where.task,
        python=interpreter,
        layer=built,
        events=[(name, text.encode()) for name, text in events(event)],
        arms=chosen,
        layouts=native,
        runs=count,
        disk=disk.parse(disk_state),
        out=out,
        sandbox=kind,
        memory_mb=memory,
        environ=variables(env or []),
        insist=frozenset(arm or []),
        interleave=not in_a_row,
    )
    with LiveBench(console) as live:
        result = measure(order, on_step=live)
    written = plot.draw(result, out)
    if as_json:
        print(json.dumps(record.as_json(result), indent=1))
    else:
        table.show(result, Console(highlight=False))
    console.print(f"written: {' '.join(str(path) for path in (out / record.FILE, *written))}", markup=False)
    demand_ok(result)


def demand_ok(result: Bench) -> None:
    """Fail if a run does not count.

    Raises:
        FunctionFailed: an arm fell back, failed or answered differently.
    """
    bad = [arm for arm in result.arms if not arm.ok]
    if bad:
        text = "; ".join(f"{arm.name}: {arm.problem}" for arm in bad)
        raise FunctionFailed(f"not every run counts: {text}", hint="the table and bench.json say more")
