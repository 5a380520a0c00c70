"""What a bench shows while it runs: medians so far and how much is left.

Drawn on standard error, and only where that is a terminal; elsewhere one line
per arm says that it was started, so that a log is not silent for a minute.
"""

from __future__ import annotations

from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from quickthaw.bench.arms import COLD
from quickthaw.bench.run import Step
from quickthaw.bench.table import DASH, milliseconds


class LiveBench:
    """Follows a bench; a context manager, to be called with each `Step`.

    Args:
        report_lines: print the function's REPORT line of each arm's first run, as Lambda would log it.
    """

    def __init__(self, console: Console, *, report_lines: bool = False) -> None:
        self._console = console
        self._report_lines = report_lines
        self._times: dict[str, list[float]] = {}
        self._bad: dict[str, int] = {}
        self._seen: set[str] = set()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._bar.add_task("reference cold start", total=None)
        self._live = Live(console=console, get_renderable=self._draw, transient=True, refresh_per_second=8)

    def __enter__(self) -> LiveBench:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def __call__(self, step: Step) -> None:
        """Take in what just happened."""
        self._bar.update(self._task, completed=step.done, total=step.total, description=step.arm)
        if step.sample is None or step.run is None:
            return
        if step.arm not in self._seen:
            self._seen.add(step.arm)
            self._announce(step)
        if not step.sample.ok:
            self._bad[step.arm] = self._bad.get(step.arm, 0) + 1
        elif step.counted and step.sample.first_response_s is not None:
            self._times.setdefault(step.arm, []).append(step.sample.first_response_s)

    def _announce(self, step: Step) -> None:
        assert step.run is not None and step.sample is not None
        lines = [line for line in step.run.log if self._report_lines and line.startswith("REPORT")]
        said = " ".join(lines[0].split("\t")) if lines else ""
        if step.sample.ok:
            said = said or milliseconds(step.sample.first_response_s)
        else:
            said = f"{step.sample.problem}  {said}"
        self._console.print(Text.assemble((f"{step.arm:<12} ", "bold"), said), soft_wrap=True)

    def _draw(self) -> Group:
        table = Table(box=None, title_justify="left")
        for column in ("arm", "runs", "median so far", "last"):
            table.add_column(column, justify="left" if column == "arm" else "right")
        for arm, times in sorted(self._times.items(), key=lambda item: item[0] != COLD.name):
            ordered = sorted(times)
            bad = f" [red]+{self._bad[arm]} bad[/]" if arm in self._bad else ""
            middle = milliseconds(ordered[len(ordered) // 2]) if ordered else DASH
            table.add_row(arm, f"{len(times)}{bad}", middle, milliseconds(times[-1]))
        return Group(table, self._bar) if self._times else Group(self._bar)
