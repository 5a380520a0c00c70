"""Modules imported from a zip in /tmp, and one of it that is imported after the thaw."""

import importlib
import sys
import zipfile
from typing import Any

SAME = ("early", "late", "data")
ENGINES = ("native",)

with zipfile.ZipFile("/tmp/modules.zip", "w", zipfile.ZIP_DEFLATED) as archive:
    archive.writestr("early_module.py", "VALUE = 'early'\n")
    archive.writestr("late_module.py", "VALUE = 'late'\n")
    archive.writestr("early_package/__init__.py", "")
    archive.writestr("early_package/data.txt", "data")
sys.path.insert(0, "/tmp/modules.zip")
EARLY = importlib.import_module("early_module")


def handler(event: Any, context: Any) -> dict[str, Any]:
    import importlib.resources

    return {
        "early": EARLY.VALUE,
        "late": importlib.import_module("late_module").VALUE,
        "data": importlib.resources.files("early_package").joinpath("data.txt").read_text(),
    }
