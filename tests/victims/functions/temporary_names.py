"""Names of temporary files: their generator was used at import, and must not repeat itself."""

import os
import tempfile
from typing import Any

SAME = ("place",)
FRESH = ("names", "directory")

with tempfile.NamedTemporaryFile() as _file:
    pass
NAMES = tempfile._get_candidate_names()  # type: ignore[attr-defined]
next(NAMES)


def handler(event: Any, context: Any) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile() as file, tempfile.TemporaryDirectory() as directory:
        return {
            "place": os.path.dirname(file.name),
            "names": os.path.basename(file.name),
            "directory": directory,
        }
