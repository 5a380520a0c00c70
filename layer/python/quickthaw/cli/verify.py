"""`quickthaw verify`: is a snapshot whole, and would it be thawed here?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from quickthaw.checkpoint import render, verify
from quickthaw.cli.progress import Stages
from quickthaw.errors import BadSnapshot


def command(
    snapshot: Annotated[Path, typer.Argument(metavar="SNAP", help="The snapshot directory.")],
    mapped: Annotated[
        bool,
        typer.Option(
            "--mapped/--no-mapped", help="Compare the files that the snapshot maps with this machine's."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check every checksum, decode every page, compare processor and mapped files.

    Exit code 4 when anything is wrong. --mapped makes sense where the snapshot is
    to be thawed: in the image or on the machine that has the function's files in
    the places that the function saw.
    """
    with Stages() as stages:
        findings = verify.verify(snapshot, mapped=mapped, on_progress=lambda done: stages.at("verify", done))
    if as_json:
        print(json.dumps([{"what": one.what, "problem": one.problem} for one in findings], indent=1))
    else:
        render.print_findings(findings, Console())
    bad = [one for one in findings if one.problem]
    if bad:
        raise BadSnapshot(
            f"{len(bad)} of {len(findings)} checks failed, first: {bad[0].what}: {bad[0].problem}",
            hint="Make the snapshot again with `quickthaw checkpoint`.",
        )
