"""Option values that several commands read the same way."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from quickthaw import names
from quickthaw.errors import Unavailable, UsageError
from quickthaw.sandbox.layout import inner_python
from quickthaw.secrets.wanted import Wanted, user_patterns, wanted
from quickthaw.snapshot import manifest

_BUILT_LAYER = Path("build/layer")

Secret = Annotated[
    list[str] | None,
    typer.Option(
        "--secret",
        metavar="NAME=REGEX",
        help="Look for this too; a hit is reported by its name (repeatable).",
        show_default=False,
    ),
]
Secrets = Annotated[
    list[Path] | None,
    typer.Option(
        "--secrets", metavar="FILE", help="Lines of NAME=REGEX to look for (repeatable).", show_default=False
    ),
]
AllowSecret = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-secret",
        metavar="NAME",
        help="This variable's value, or what fits this pattern, may be in the snapshot (repeatable).",
        show_default=False,
    ),
]
Disk = Annotated[
    str, typer.Option("--disk", help="Page cache before each run: warm, cold, or cold and read at 60MB/s.")
]
Layer = Annotated[Path | None, typer.Option("--layer", help="The built layer.", show_default="build/layer")]
Python = Annotated[
    Path, typer.Option("--python", help="Interpreter of the function.", show_default="this one")
]


def secrets(environ: Mapping[str, str], secret: list[str] | None, files: list[Path] | None) -> Wanted:
    """What --secret, --secrets and an environment say to look for.

    Raises:
        UsageError: a pattern is none.
    """
    return wanted(environ, user_patterns(secret or [], files or []))


def events(paths: Sequence[Path]) -> list[tuple[str, str]]:
    """Name and text of each event file; `-` is standard input.

    Raises:
        UsageError: a file cannot be read or is no JSON.
    """
    found = []
    for path in paths:
        try:
            text = sys.stdin.read() if str(path) == "-" else path.read_text()
            json.loads(text)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"event {path}: {error}", hint="An event is a file with one JSON document."
            ) from error
        found.append((path.name, text))
    return found


def variables(settings: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE settings as a mapping.

    Raises:
        UsageError: one has no name or no equals sign.
    """
    found = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not name or not equals:
            raise UsageError(f"--env {setting} is not NAME=VALUE")
        found[name] = value
    return found


def built_layer(given: Path | None) -> Path:
    """The layer to run with: the given one, or what `make setup` built.

    Raises:
        Unavailable: there is none.
    """
    layer = given or Path(__file__).resolve().parents[4] / _BUILT_LAYER
    if not (layer / "bin" / "bootstrap").exists():
        raise Unavailable(
            f"there is no built layer in {layer}", hint="`make setup` builds it; --layer names another."
        )
    return layer


def function_python(snapshot: Path | None, python: Path | None) -> Path:
    """The function's interpreter: the given one, or the one whose path inside is the snapshot's.

    Raises:
        UsageError: it is none that we know.
    """
    own = Path(sys.executable)
    if python is not None or snapshot is None:
        return python or own
    frozen = manifest.read(str(snapshot)).body["python"]
    inside = str(frozen["executable"])
    if inner_python(own) == inside and frozen["tag"] == sys.implementation.cache_tag:
        return own
    if not inside.startswith(names.LANG_PATH) and Path(inside).exists():
        return Path(inside)
    raise UsageError(
        f"the snapshot was made with Python {frozen['version']}, which is not the one that runs quickthaw",
        hint="name the interpreter with --python",
    )
