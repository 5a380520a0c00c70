"""Environments as JSON, and as a table for people."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from statistics import median

from rich.table import Table

from quickthaw.emulator.run import EnvironmentRun


def as_json(run: EnvironmentRun) -> dict[str, object]:
    """One environment as `invoke --json` writes it; what is unknown is null."""
    return {
        "answers": list(run.answers),
        "errors": list(run.errors),
        "init_s": run.init_s,
        "first_response_s": run.first_response_s,
        "billed_ms": run.billed_ms,
        "engine": run.engine,
        "mode": run.mode,
        "reason": run.reason,
        "log": list(run.log),
        "max_rss_mb": run.max_rss_mb,
        "bytes_read": run.bytes_read,
        "setup_s": run.setup_s,
        "thaw": run.thaw,
    }


def document(runs: Sequence[EnvironmentRun]) -> str:
    """All environments, a JSON list."""
    return json.dumps([as_json(run) for run in runs], indent=1)


def table(runs: Sequence[EnvironmentRun]) -> Table:
    """A line for each environment, and the medians when there are several."""
    shown = Table(title=None, show_edge=False, pad_edge=False)
    shown.add_column("#", justify="right", no_wrap=True, min_width=6)
    shown.add_column("engine", no_wrap=True)
    for name in ("init", "first response", "billed", "memory", "read"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("answers", justify="right", no_wrap=True)
    for index, run in enumerate(runs, 1):
        shown.add_row(
            str(index), _engine(run), _ms(run.init_s), _ms(run.first_response_s), f"{run.billed_ms} ms",
            _mb(run.max_rss_mb), _mb(None if run.bytes_read is None else run.bytes_read / (1 << 20)),
            f"{len(run.answers) - len(run.errors)}/{len(run.answers)}",
        )  # fmt: skip
    if len(runs) > 1:
        shown.add_section()
        shown.add_row(
            "median", "", _ms(_median(runs, lambda run: run.init_s)),
            _ms(_median(runs, lambda run: run.first_response_s)),
            f"{median(run.billed_ms for run in runs):.0f} ms", _mb(_median(runs, lambda run: run.max_rss_mb)),
            "", "",
        )  # fmt: skip
    return shown


def reasons(runs: Sequence[EnvironmentRun]) -> list[str]:
    """Why environments did not start with a better engine; each reason once, with their numbers."""
    found: dict[str, list[str]] = {}
    for index, run in enumerate(runs, 1):
        if run.reason is not None:
            found.setdefault(run.reason, []).append(str(index))
    return [f"{', '.join(numbers)}: {reason}" for reason, numbers in found.items()]


def _engine(run: EnvironmentRun) -> str:
    return run.engine if run.mode is None else f"{run.engine} {run.mode}"


def _median(runs: Sequence[EnvironmentRun], value: Callable[[EnvironmentRun], float | None]) -> float | None:
    known = [found for run in runs if (found := value(run)) is not None]
    return median(known) if known else None


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"


def _mb(size: float | None) -> str:
    return "-" if size is None else f"{size:.1f} MB"
