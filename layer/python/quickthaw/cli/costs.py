"""`quickthaw costs`: what a snapshot costs besides its thaws; `quickthaw.bench.costs` does the work."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from quickthaw.bench import showcase
from quickthaw.bench.costs import record
from quickthaw.bench.costs.run import measure
from quickthaw.bench.table import milliseconds
from quickthaw.cli.options import Layer, Python, built_layer
from quickthaw.cli.progress import Stages


def command(
    out: Annotated[Path, typer.Option("--out", help="Directory for costs.json.")],
    count: Annotated[
        int, typer.Option("-n", min=1, help="Counted runs; of what takes seconds, five at most.")
    ] = 15,
    python: Python = Path(sys.executable),
    publish: Annotated[Path | None, typer.Option("--publish", help="Also copy costs.json there.")] = None,
    layer: Layer = None,
) -> None:
    """Measure checks, declined starts and a fetch from a bucket on the demo's snapshot.

    The bucket is on this machine, at the end of a slow line; costs.json says how slow.

    Needs root and a clone of the repository, as `quickthaw demo`, whose snapshot it takes.

    Exit code 6 when a start fell back, failed or answered differently.
    """
    built = built_layer(layer)
    with Stages() as stages:
        prepared = showcase.prepare(showcase.home(), python=python, layer=built, on_stage=stages.at)
        order = showcase.order(
            prepared, out=out, python=python, layer=built, runs=count, arms=("native-lz4",),
            on_stage=stages.at,
        )  # fmt: skip
        found = measure(order, on_stage=stages.at)
    if publish is not None:
        showcase.publish(out, publish, (), record=record.FILE)
    _show(found, Console(highlight=False))
    Console(stderr=True, highlight=False).print(f"written: {out / record.FILE}", markup=False)


def _show(found: record.Costs, console: Console) -> None:
    table = Table(box=None)
    for column in ("", "median", "spread", "least", "most", "runs"):
        table.add_column(column, justify="right" if column else "left")
    for what, samples in found.samples.items():
        figures = (found.median(what), found.spread(what), min(samples), max(samples))
        table.add_row(what, *(milliseconds(figure) for figure in figures), f"{len(samples)}")
    console.print(table)
    for doubt in found.doubts:
        console.print(f"doubt: {doubt.what} - {doubt.remedy}", markup=False)
