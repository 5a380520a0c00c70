"""`quickthaw inspect`: what is in a snapshot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from quickthaw.checkpoint import look, render


def command(
    snapshot: Annotated[Path, typer.Argument(metavar="SNAP", help="The snapshot directory.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """Show sizes, ratio, blocks, mappings, mapped files, threads and descriptors of a snapshot.

    Also says what would stop a thaw on this machine.
    """
    seen = look.look(snapshot)
    if as_json:
        print(json.dumps(look.as_json(seen), indent=1))
    else:
        render.print_seen(seen, Console())
