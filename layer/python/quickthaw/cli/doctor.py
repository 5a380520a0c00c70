"""`quickthaw doctor`: what this environment allows, and which engine that comes to."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from quickthaw.cli.options import Layer, built_layer
from quickthaw.cli.progress import Stages
from quickthaw.doctor import examine, render
from quickthaw.errors import Unavailable, UsageError


def command(
    sandbox: Annotated[
        str, typer.Option("--sandbox", help="none: this machine as it is; lambda: also inside the sandbox.")
    ] = "none",
    disk: Annotated[
        Path | None,
        typer.Option("--disk", help="File or directory whose reads are measured.", show_default="the layer"),
    ] = None,
    python: Annotated[
        Path, typer.Option("--python", help="Interpreter that asks.", show_default="this one")
    ] = Path(sys.executable),
    layer: Layer = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Show what this environment allows, and which engine a thaw would use and why.

    Everything is tried, not looked up: each question in a process of its own. The
    function in handler/probe asks the same on Lambda.

    Exit code 5 when --sandbox lambda is not to be had here.
    """
    if sandbox not in ("none", "lambda"):
        raise UsageError(f"there is no sandbox {sandbox}", hint="--sandbox is lambda or none")
    if disk is not None and not disk.exists():
        raise UsageError(f"--disk {disk} does not exist")
    try:
        built = built_layer(layer)
    except Unavailable:
        if layer is not None:
            raise
        built = None  # everything but the layer's own programs can be examined
    with Stages() as stages:
        stages.at("ask here", None)
        places = [examine.here(python=python, layer=built, disk=disk)]
        if sandbox == "lambda":
            stages.at("ask in the sandbox", None)
            places.append(examine.inside(python=python, layer=built, disk=disk))
    if as_json:
        print(json.dumps(render.as_json(places), indent=1))
    else:
        render.print_places(places, Console(highlight=False))
