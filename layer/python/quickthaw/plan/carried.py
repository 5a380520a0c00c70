"""What an old plan knows that the images do not tell, for the plan that replaces it.

Learning plans anew from CRIU's images, long after the frozen process is gone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from quickthaw.errors import BadSnapshot
from quickthaw.plan import layout
from quickthaw.plan.left import Entry
from quickthaw.plan.tables import resealed, rows

_WIPEONFORK: Final = 1 << 18


def arguments(path: Path) -> dict[str, Any]:
    """Arguments for ``plan.build`` out of an existing plan; none where there is no plan.

    Raises:
        BadSnapshot: the plan is damaged or of another version.
    """
    if not path.exists():
        return {}
    plan = path.read_bytes()
    if len(plan) < layout.HEADER.size or layout.HEADER.unpack(plan)["magic"] != layout.MAGIC:
        raise BadSnapshot(f"{path} is no plan", hint="make the snapshot again")
    if layout.HEADER.unpack(plan)["version"] != layout.VERSION:
        return {}  # of an older quickthaw: planned from what the images tell
    if resealed(plan) != plan:
        raise BadSnapshot(f"{path} is damaged: its checksum does not fit", hint="make the snapshot again")

    def piece(row: dict[str, Any], name: str) -> bytes:
        return plan[row[f"{name}.offset"] : row[f"{name}.offset"] + row[f"{name}.size"]]

    maps = rows(plan, layout.MAP)
    entries = rows(plan, layout.ENTRY)
    return {
        "wiped_on_fork": [
            (row["start"], row["start"] + row["size"]) for row in maps if row["advice"] & _WIPEONFORK
        ],
        "entries": [
            Entry(
                kind=row["kind"],
                mode=row["mode"],
                mtime_ns=row["mtime_ns"],
                path=piece(row, "path")[:-1].decode("utf-8", "surrogateescape"),
                data=piece(row, "data"),
            )
            for row in entries
        ],
    }
