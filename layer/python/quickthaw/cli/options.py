"""Option values that several commands read the same way."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from quickthaw.errors import Unavailable, UsageError

_BUILT_LAYER = Path("build/layer")


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
