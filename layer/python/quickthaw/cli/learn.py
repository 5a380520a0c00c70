"""`quickthaw learn`: find out which pages a first request touches, and lay the snapshot out for it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from quickthaw.bench.run import function_task
from quickthaw.cli.options import Layer, built_layer, events, function_python
from quickthaw.cli.progress import Stages
from quickthaw.emulator.run import FunctionSpec
from quickthaw.learn.run import Learned, learn
from quickthaw.names import PAGE_SIZE
from quickthaw.snapshot import manifest

_MB = 1_000_000


def command(
    snapshot: Annotated[Path, typer.Argument(metavar="SNAP", help="The snapshot directory.")],
    event: Annotated[
        list[Path], typer.Option("--event", help="Event to learn from, a JSON file (repeatable).")
    ],
    task: Annotated[
        Path | None,
        typer.Option("--task", help="The function's directory.", show_default="the snapshot's own"),
    ] = None,
    python: Annotated[
        Path | None,
        typer.Option("--python", help="Interpreter of the function.", show_default="the snapshot's"),
    ] = None,
    layer: Layer = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
) -> None:
    """Thaw the snapshot, send it events, and rewrite its native layout for the pages that they touch.

    What was learned before is kept: give other events to add theirs. The snapshot is
    replaced in one step, and stays as it was when anything fails. Needs root.

    Exit code 3 when the process cannot be thawed natively, 6 when an event is not answered.
    """
    spec = FunctionSpec(
        task=function_task(snapshot, task),
        handler=str(manifest.read(str(snapshot)).body["function"]["handler"]),
        python=function_python(snapshot, python),
        layer=built_layer(layer),
    )
    payloads = [text.encode() for _, text in events(event)]
    with Stages() as stages:
        learned = learn(snapshot, spec, payloads, on_stage=lambda stage: stages.at(stage, None))
    if as_json:
        print(json.dumps(_as_json(learned), indent=1))
    else:
        Console(highlight=False).print(_table(learned))


def _as_json(learned: Learned) -> dict[str, Any]:
    return {**asdict(learned), "snapshot": str(learned.snapshot)}


def _table(learned: Learned) -> Table:
    plan = learned.plan
    table = Table(
        title=f"learned from {learned.events} event{'s' if learned.events > 1 else ''}: "
        f"{escape(str(learned.snapshot))}",
        show_header=False, title_justify="left",
    )  # fmt: skip
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("hot pages", f"{learned.pages}, {_mb(learned.pages * PAGE_SIZE)}")
    table.add_row("of them new", str(learned.new_pages))
    table.add_row("read at every thaw", f"{plan.eager_pages} pages, {_mb(plan.packed_size)} of LZ4")
    if plan.copied_pages:
        table.add_row("unless cached", f"{plan.copied_pages} pages of libraries, of the same LZ4")
    table.add_row("read when touched", f"{plan.lazy_pages} pages, {_mb(plan.raw_size)}")
    return table


def _mb(size: int) -> str:
    return f"{size / _MB:.1f} MB"
