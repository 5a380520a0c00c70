"""`quickthaw growth`: thaws of larger and larger snapshots; `quickthaw.bench.growth` does the work."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from quickthaw.bench import curve, disk, growth, showcase
from quickthaw.bench.growth import ARMS, Growth
from quickthaw.bench.run import Step
from quickthaw.bench.table import DASH, milliseconds
from quickthaw.cli.options import Disk, Layer, Python, built_layer
from quickthaw.cli.progress import Stages
from quickthaw.errors import UsageError


def command(
    out: Annotated[Path, typer.Option("--out", help="Directory for growth.json and the picture.")],
    size: Annotated[
        list[int] | None,
        typer.Option(
            "--size", min=1, help="MB that the function fills (repeatable).", show_default="20 to 800"
        ),
    ] = None,
    count: Annotated[int, typer.Option("-n", min=1, help="Counted runs of each layout at each size.")] = 7,
    disk_state: Disk = "warm",
    python: Python = Path(sys.executable),
    publish: Annotated[
        Path | None, typer.Option("--publish", help="Also copy growth.json and the picture there.")
    ] = None,
    layer: Layer = None,
) -> None:
    """Freeze a function with more and more memory, thaw it in every native layout, draw how that grows.

    Needs root. A snapshot of 800 MB takes some 2 GB of disk while it is measured.

    Exit code 6 when a run fell back, failed or answered differently.
    """
    sizes = sorted(size or growth.SIZES_MB)
    if len(set(sizes)) != len(sizes):
        raise UsageError("a --size is there twice")
    with Stages() as stages:

        def on_step(step: Step) -> None:
            stages.at(f"thaw, {step.arm}", step.done / step.total)

        found = growth.grow(
            out, sizes_mb=sizes, runs=count, python=python, layer=built_layer(layer),
            disk=disk.parse(disk_state), on_stage=stages.at, on_step=on_step,
        )  # fmt: skip
    pictures = curve.draw(found, out)
    if publish is not None:
        showcase.publish(out, publish, pictures, record=growth.FILE)
    _show(found, Console(highlight=False))
    written = " ".join([str(out / growth.FILE), *(path.name for path in pictures)])
    Console(stderr=True, highlight=False).print(f"written: {written}", markup=False)


def _show(found: Growth, console: Console) -> None:
    table = Table(box=None, title="First response, and resident memory at most", title_justify="left")
    table.add_column("pages MB", justify="right")
    for arm in ARMS:
        table.add_column(f"{arm} ms", justify="right")
        table.add_column("MiB", justify="right")
    for point in found.points:
        cells = []
        for arm in ARMS:
            memory = point.median(arm, "max_rss_mb")
            cells += [
                milliseconds(point.median(arm, "first_response_s")),
                DASH if memory is None else f"{memory:.0f}",
            ]
        table.add_row(f"{point.pages_mb:.0f}", *cells)
    cells = []
    for arm in ARMS:
        seconds, memory = found.slope(arm, "first_response_s"), found.slope(arm, "max_rss_mb")
        cells += [
            DASH if seconds is None else f"{seconds * 1000:+.2f}",
            DASH if memory is None else f"{memory:+.1f}",
        ]
    table.add_section()
    table.add_row("+100", *cells)
    console.print(table)
