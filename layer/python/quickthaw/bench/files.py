"""The JSON files that benches leave: written whole or not at all, read by their schema."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from quickthaw.errors import UsageError


def write(path: Path, body: Mapping[str, Any]) -> Path:
    """Write one; the old file stays until the new one is complete."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(body, indent=1) + "\n")
    os.replace(fresh, path)
    return path


@contextmanager
def reading(path: Path, schema: int, *, command: str) -> Iterator[dict[str, Any]]:
    """Give what `path` holds, to be made a record of.

    Args:
        schema: the one that the caller understands.
        command: what writes such files, for the remedy.

    Raises:
        UsageError: it is no such file, of another schema, or what the caller did with it failed.
    """
    try:
        body = json.loads(path.read_text())
        if body["schema"] != schema:
            raise UsageError(f"{path} has schema {body['schema']}, this version reads {schema}")
        yield body
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} is none of the files that {command} writes: {error}", hint=f"`{command}` writes them."
        ) from error
