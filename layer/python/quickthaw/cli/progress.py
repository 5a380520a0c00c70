"""Progress on standard error: what is being done, and how much of it, where that is known."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class Stages:
    """One line that names the present stage; nothing is drawn where standard error is no terminal."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("start", total=None)

    def __enter__(self) -> Stages:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def at(self, stage: str, done: float | None) -> None:
        """Shows a stage.

        Args:
            stage: its name.
            done: how much of it, 0 to 1; None where unknown.
        """
        total = None if done is None else 1.0
        self._progress.update(self._task, description=stage, total=total, completed=done or 0.0)
