"""Sizes against limits, and what was published, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from quickthaw.publish.limits import DIRECT_ZIP_BYTES, LAYERS, UNZIPPED_BYTES, Load, megabytes
from quickthaw.publish.run import Published


def loads_document(loads: Sequence[Load]) -> list[dict[str, Any]]:
    """Functions with their parts, in bytes."""
    return [
        {
            "function": load.function,
            "unzipped": load.unzipped,
            "unzipped_limit": UNZIPPED_BYTES,
            "layers": load.layers,
            "layers_limit": LAYERS,
            "parts": [
                {
                    "name": part.name,
                    "unzipped": part.unzipped,
                    "zipped": part.zipped,
                    "needs_s3": part.needs_s3,
                }
                for part in load.parts
            ],
            "problems": list(load.problems),
        }
        for load in loads
    ]


def show_loads(loads: Sequence[Load], console: Console) -> None:
    """One row per part, one sum per function."""
    table = Table(
        box=box.SIMPLE_HEAD, title=f"Sizes; Lambda takes {megabytes(UNZIPPED_BYTES)} unzipped", title_style=""
    )
    for header, justify in (("", "left"), ("unzipped", "right"), ("zip", "right"), ("of the limit", "right")):
        table.add_column(header, justify="right" if justify == "right" else "left")
    for load in loads:
        for part in load.parts:
            zipped = "–" if part.zipped is None else megabytes(part.zipped)
            table.add_row(
                f"  {part.name}", megabytes(part.unzipped), zipped, "via S3" if part.needs_s3 else ""
            )
        share = f"{100 * load.unzipped / UNZIPPED_BYTES:.0f} %"
        style = "red" if load.problems else "green"
        layers = f"{load.layers} of {LAYERS} layers"
        name = f"[bold]{escape(load.function)}[/], {layers}"
        table.add_row(name, megabytes(load.unzipped), "", f"[{style}]{share}[/]", end_section=True)
    console.print(table)
    if any(part.needs_s3 for load in loads for part in load.parts):
        console.print(
            f"[dim]via S3: over {megabytes(DIRECT_ZIP_BYTES)}, the most of a direct upload; SAM does so[/]"
        )
    for problem in dict.fromkeys(problem for load in loads for problem in load.problems):
        console.print(f"[red]too large[/] {escape(problem)}")


def document(done: Published) -> dict[str, Any]:
    """The record as JSON has it."""
    return {
        "snapshot": done.id,
        "dry_run": done.dry_run,
        "layer_version_arn": done.layer_version_arn,
        "s3_object": done.s3_object,
        "snapshot_uri": done.snapshot_uri,
        "directory": None if done.directory is None else str(done.directory),
        "function": done.function,
        "sha256": done.sha256,
        "doubts": list(done.doubts),
        "sizes": loads_document([done.load])[0],
    }


def show(done: Published, console: Console) -> None:
    """What was published, and what it weighs."""
    if done.load.parts:
        show_loads([done.load], console)
    if done.dry_run:
        console.print(f"snapshot {done.id} is whole and can be published; nothing was changed (dry run)")
    for label, value in (
        ("layer version", done.layer_version_arn),
        ("object", done.s3_object),
        ("directory", done.directory),
        ("set QUICKTHAW_SNAPSHOT to", done.snapshot_uri),
    ):
        if value is not None:
            console.print(f"{label} [bold]{escape(str(value))}[/]", soft_wrap=True)
    if done.function and not done.dry_run:
        console.print(f"function {escape(done.function)} is active with it")
    for doubt in done.doubts:
        console.print(f"[yellow]doubt[/] {escape(doubt)}")
