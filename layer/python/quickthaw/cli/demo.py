"""`quickthaw demo`: the demo function frozen, thawed, compared; `quickthaw.bench.showcase` does the work."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from quickthaw.bench import crowd as crowds
from quickthaw.bench import disk, plot, record, showcase, table
from quickthaw.bench.live import LiveBench
from quickthaw.bench.run import Order
from quickthaw.bench.run import bench as measure
from quickthaw.cli.bench import demand_ok
from quickthaw.cli.options import Disk, Layer, Python, built_layer
from quickthaw.cli.progress import Stages
from quickthaw.errors import FunctionFailed


def command(
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Directory for bench.json and the pictures.", show_default="build/demo of the clone"
        ),
    ] = None,
    count: Annotated[int, typer.Option("-n", min=1, help="Counted runs of each arm.")] = 7,
    arm: Annotated[
        list[str] | None, typer.Option("--arm", help="Arm to measure (repeatable).", show_default="all")
    ] = None,
    disk_state: Disk = "warm",
    python: Python = Path(sys.executable),
    soak: Annotated[
        bool,
        typer.Option("--soak", help="All runs of an arm in a row, no cold starts: does every thaw succeed?"),
    ] = False,
    crowd: Annotated[
        int | None,
        typer.Option(
            "--crowd",
            min=1,
            help="So many environments at once, each with -n thaws in a row, instead of the comparison.",
        ),
    ] = None,
    publish: Annotated[
        Path | None, typer.Option("--publish", help="Also copy bench.json and the pictures there.")
    ] = None,
    layer: Layer = None,
) -> None:
    """Freeze the demo function, start it in every way, and show what was won.

    Needs root and a clone of the repository (handler/demo). Packages and
    snapshot are kept in build/ while their inputs stay the same.

    Exit code 6 when a run fell back, failed or answered differently.
    """
    console = Console(stderr=True, highlight=False)
    out = out or showcase.home()
    built = built_layer(layer)
    with Stages() as stages:
        prepared = showcase.prepare(showcase.home(), python=python, layer=built, on_stage=stages.at)
        order = showcase.order(
            prepared, out=out, python=python, layer=built, runs=count, arms=tuple(arm or ()),
            disk=disk.parse(disk_state), soak=soak or crowd is not None, on_stage=stages.at,
        )  # fmt: skip
    console.print(f"snapshot {'kept' if prepared.kept else 'made'}: {prepared.snapshot}", markup=False)
    if crowd is not None:
        _thaw_in_a_crowd(order, crowd, console)
        return
    with LiveBench(console, report_lines=True) as live:
        result = measure(order, on_step=live)
    pictures = plot.draw(result, out)
    if publish is not None:
        showcase.publish(out, publish, pictures)
    paths = [str(out / record.FILE), *(picture.name for picture in pictures if picture.suffix == ".png")]
    console.print(f"written: {' '.join(paths)}\n", markup=False)
    table.show(result, Console(highlight=False))
    demand_ok(result)


def _thaw_in_a_crowd(order: Order, at_once: int, console: Console) -> None:
    with Stages() as stages:

        def on_thaw(arm: str, done: int, total: int, bad: int) -> None:
            stages.at(text := f"{arm}: {done:,} of {total:,} thaws, {bad} failed", done / total)
            if not console.is_terminal and (done * 20 // total > (done - 1) * 20 // total):
                console.print(text)  # a log of hours must say that it goes on

        results = crowds.crowd(order, at_once=at_once, on_thaw=on_thaw)
    output = Console(highlight=False)
    output.print(table.crowd_table(results))
    output.print(
        "PSS counts a page that several processes map in equal shares, alone and while all are alive; own:\n"
        f"pages that are in no file. Written: {order.out / crowds.FILE}"
    )
    problems = [f"{result.arm}: {problem}" for result in results for problem in result.problems]
    if problems:
        raise FunctionFailed(
            f"{len(problems)} thaws do not count: {problems[0]}", hint="crowd.json lists all"
        )
