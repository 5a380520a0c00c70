"""`quickthaw publish`: a snapshot becomes a layer version, an S3 object, or a directory for an image."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from quickthaw.cli.options import AllowSecret, Secret, Secrets, secrets
from quickthaw.cli.progress import Stages
from quickthaw.publish import render
from quickthaw.publish.run import Order, publish


def command(
    snapshot: Annotated[Path, typer.Argument(metavar="SNAP", help="The snapshot directory.")],
    layer_name: Annotated[
        str | None, typer.Option(help="Make a new version of this layer.", show_default=False)
    ] = None,
    s3: Annotated[
        str | None,
        typer.Option(
            metavar="BUCKET/PREFIX",
            help="Upload the zip to S3; with --layer-name, Lambda fetches the layer from there.",
            show_default=False,
        ),
    ] = None,
    fetch: Annotated[
        bool,
        typer.Option(
            "--fetch",
            help="With --s3: upload the snapshot itself instead of a zip; the function fetches it at init. "
            "Needs a snapshot of layout lz4.",
        ),
    ] = False,
    image_dir: Annotated[
        Path | None,
        typer.Option(help="Write opt/snapshot below this directory, for a Dockerfile.", show_default=False),
    ] = None,
    function: Annotated[
        str | None,
        typer.Option(
            help="Put the layer version, or with --fetch QUICKTHAW_SNAPSHOT, on this function, and wait "
            "until it is active.",
            show_default=False,
        ),
    ] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(
            help="Directory that lies on the same function: first its code, then other layers (repeatable). "
            "Counts into the sizes.",
            show_default=False,
        ),
    ] = None,
    images: Annotated[
        bool, typer.Option("--images", help="Take CRIU's images along; Lambda cannot use them.")
    ] = False,
    region: Annotated[str | None, typer.Option(help="AWS region.", show_default="the environment's")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Verify, check sizes and the function; change nothing.")
    ] = False,
    secret: Secret = None,
    secrets_file: Secrets = None,
    allow_secret: AllowSecret = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
) -> None:
    """Verify a snapshot, check its size against Lambda's limits, and publish it.

    A damaged snapshot is refused (exit code 4), one that holds a secret as `verify`
    looks for it, too (9), and one too large (2). Whatever
    fails later is taken back: the upload is aborted, the function gets its former
    layers or variables, what was sent is deleted.
    """
    order = Order(
        snapshot=snapshot, layer_name=layer_name, s3=s3, fetch=fetch, image_dir=image_dir, function=function,
        beside=tuple(beside or ()), images=images, dry_run=dry_run, region=region,
        wanted=secrets(os.environ, secret, secrets_file), allow_secrets=tuple(allow_secret or ()),
    )  # fmt: skip
    with Stages() as stages:
        done = publish(order, stages.at)
    if as_json:
        print(json.dumps(render.document(done), indent=1))
    else:
        render.show(done, Console())
