"""`quickthaw checkpoint`: freeze a function and write its snapshot."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from quickthaw import names
from quickthaw.checkpoint import render, run
from quickthaw.checkpoint.kinds import KINDS, allowed
from quickthaw.checkpoint.order import CheckpointOrder
from quickthaw.cli.options import Layer, Python, Secret, Secrets, built_layer, events, secrets, variables
from quickthaw.cli.progress import Stages
from quickthaw.emulator.site import runtime_site
from quickthaw.errors import UsageError
from quickthaw.snapshot.pages import BLOCK_SIZES


def command(
    task: Annotated[Path, typer.Option("--task", help="Directory with the function's code and packages.")],
    handler: Annotated[str, typer.Option("--handler", help="As Lambda's handler setting: module.function.")],
    out: Annotated[Path, typer.Option("--out", help="The snapshot directory; an old one is replaced whole.")],
    event: Annotated[
        list[Path] | None, typer.Option("--event", help="Warm-up event, a JSON file (repeatable).")
    ] = None,
    env: Annotated[
        list[str] | None, typer.Option("--env", help="NAME=VALUE that the function sees (repeatable).")
    ] = None,
    python: Python = Path(sys.executable),
    compress: Annotated[str, typer.Option("--compress", help="lz4 or none.")] = "lz4",
    level: Annotated[
        int, typer.Option("--level", min=0, max=12, help="LZ4 level; 3 and above are HC.")
    ] = names.LZ4_LEVEL,
    block_size: Annotated[
        int, typer.Option("--block-size", help="Bytes of an LZ4 block: 65536, 262144, 1048576 or 4194304.")
    ] = names.BLOCK_SIZE,
    keep_uncompressed: Annotated[
        bool, typer.Option("--keep-uncompressed", help="Keep the uncompressed pages too (mode plain).")
    ] = False,
    layout: Annotated[
        str, typer.Option("--layout", help="Native engine's pages: auto, lz4, lazy, hot or none.")
    ] = "auto",
    budget: Annotated[
        int | None,
        typer.Option(
            "--budget", min=1, help="MB of native pages above which auto becomes lz4.", show_default="any"
        ),
    ] = None,
    os_only: Annotated[
        bool,
        typer.Option(
            "--os-only",
            help="For provided.al2023: the function's directory holds awslambdaric, /var/runtime nothing.",
        ),
    ] = False,
    layer: Layer = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow",
            metavar="KIND[,KIND]",
            help="Give up what cannot be frozen, for the snapshot, and take that upon yourself: "
            + "; ".join(f"{kind.name} ({kind.instead})" for kind in KINDS.values() if kind.instead)
            + ".",
            show_default=False,
        ),
    ] = None,
    secret: Secret = None,
    secrets_file: Secrets = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
) -> None:
    """Start a function as Lambda would, warm it up, freeze it and write its snapshot.

    What cannot be frozen is refused before anything is written (exit code 3); an
    old snapshot stays until the new one is complete. Needs root.

    The function sees nothing of this environment. What is in its memory all the same
    (values of variables that look secret, keys of AWS, your patterns) is named, and
    `publish` refuses it.
    """
    if compress not in ("lz4", "none"):
        raise UsageError(f"--compress {compress} is neither lz4 nor none")
    if block_size not in BLOCK_SIZES:
        raise UsageError(f"--block-size {block_size} is none of {', '.join(map(str, BLOCK_SIZES))}")
    if os_only and not (task / "awslambdaric").is_dir():
        raise UsageError(
            f"{task} holds no awslambdaric, and an OS-only runtime has none",
            hint="pip install --target TASK awslambdaric, for the function's Python version.",
        )
    given = variables(env or [])
    with tempfile.TemporaryDirectory(prefix="quickthaw-nothing-") as nothing:
        order = CheckpointOrder(
            task=task,
            handler=handler,
            events=events(event or []),
            out=out,
            python=python,
            runtime=Path(nothing) if os_only else runtime_site(python),
            layer=built_layer(layer),
            environ=given,
            level=level if compress == "lz4" else None,
            block_size=block_size,
            keep_uncompressed=keep_uncompressed,
            layout=layout,
            budget=None if budget is None else budget * 1_000_000,
            allow=allowed(allow or []),
            wanted=secrets({**os.environ, **given}, secret, secrets_file),
        )
        with Stages() as stages:
            made = run.checkpoint(order, on_progress=stages.at)
    if as_json:
        print(json.dumps(render.checkpointed_as_json(made), indent=1))
    else:
        render.print_checkpointed(made, Console())
