"""`quickthaw verify`: is a snapshot whole, and would it be thawed here?"""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from quickthaw.checkpoint import render, verify
from quickthaw.cli.options import AllowSecret, Secret, Secrets, built_layer, secrets
from quickthaw.cli.progress import Stages
from quickthaw.emulator.site import runtime_site
from quickthaw.errors import BadSnapshot
from quickthaw.secrets import verdict
from quickthaw.snapshot import manifest


def command(
    snapshot: Annotated[Path, typer.Argument(metavar="SNAP", help="The snapshot directory.")],
    here: Annotated[
        bool,
        typer.Option("--here", help="Compare mapped files with this file system as it is (inside an image)."),
    ] = False,
    task: Annotated[
        Path | None,
        typer.Option(help="The function's directory, to compare mapped files.", show_default="as frozen"),
    ] = None,
    python: Annotated[Path, typer.Option(help="The function's interpreter.", show_default="this one")] = Path(
        sys.executable
    ),
    secret: Secret = None,
    secrets_file: Secrets = None,
    allow_secret: AllowSecret = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check every checksum, decode every page, compare processor and mapped files, look for secrets.

    Exit code 4 when anything is wrong, 9 when all is well but for a secret: the value
    of a variable of this environment that looks secret, a key of AWS, what fits a
    pattern of yours, or what the checkpoint had found. Values are never shown.

    Mapped files are compared in Lambda's layout, made from the task directory (needs
    root), or --here; where neither is possible that is said and left out.
    """
    with Stages() as stages, ExitStack() as stack:
        root = "" if here else None
        found = Path(manifest.read(str(snapshot)).body["function"]["task"]) if task is None else task
        if not here and os.geteuid() == 0 and found.is_dir():
            root = stack.enter_context(
                verify.lambda_root(
                    task=found, python=python, runtime=runtime_site(python), layer=built_layer(None)
                )
            )
        wanted = secrets(os.environ, secret, secrets_file)
        findings = verify.verify(snapshot, root=root, on_progress=lambda done: stages.at("verify", done))
        searched = None
        if not any(one.problem for one in findings if one.about == "bytes"):
            searched = verdict.examine(
                snapshot,
                wanted,
                allow=allow_secret or [],
                on_progress=lambda done: stages.at("look for secrets", done),
            )
            findings += verify.secrets(searched)
    if as_json:
        print(json.dumps([{"what": one.what, "problem": one.problem} for one in findings], indent=1))
    else:
        if root is None:
            Console(stderr=True).print("mapped files not compared: that needs root and the task directory")
        render.print_findings(findings, Console())
    bad = [one for one in findings if one.problem and one.about != "secret"]
    if bad:
        raise BadSnapshot(
            f"{len(bad)} of {len(findings)} checks failed, first: {bad[0].what}: {bad[0].problem}",
            hint="Make the snapshot again with `quickthaw checkpoint`.",
        )
    if searched is not None:
        searched.enforce(f"{snapshot} should not be published")
