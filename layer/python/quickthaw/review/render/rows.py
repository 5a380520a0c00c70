"""The figures as CSV (RFC 4180): one row per side, kind of start and quantity.

The kind `compared` is the sum of what the verdict rests on.  A missing figure
is an empty cell.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from ..compare import Comparison, Summary
from .wording import sides

if TYPE_CHECKING:
    from _csv import Writer as _Writer

HEADER = ("side", "log", "kind", "quantity", "n", "mean", "median", "p90", "p99", "min", "max", "deviation")
_QUANTITIES = ("billed_ms", "duration_ms", "init_ms", "restore_ms", "billed_restore_ms", "max_memory_mb")


def rows(result: Comparison) -> str:
    """The whole CSV text with its header."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(HEADER)
    for side, group in sides(result):
        _write(writer, (side, group.name, "compared", "billed_ms"), group.billed_ms)
        for kind, summary in group.kinds.items():
            for quantity in _QUANTITIES:
                _write(writer, (side, group.name, kind, quantity), getattr(summary, quantity))
    return out.getvalue()


def _write(writer: _Writer, key: tuple[str, ...], summary: Summary | None) -> None:
    if summary is None:
        writer.writerow((*key, 0, *[""] * 7))
        return
    figures = (summary.mean, summary.median, summary.p90, summary.p99, summary.minimum, summary.maximum)
    cells = [_number(value) for value in (*figures, summary.deviation)]
    writer.writerow((*key, summary.n, *cells))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}" if value < 1e5 else f"{value:.1f}"
