"""The comparison on a terminal, with rich."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..compare import Comparison
from . import wording as w

_COLOURS = {"cheaper": "green", "dearer": "red", "undecided": "yellow"}


def show(result: Comparison, console: Console) -> None:
    """Prints everything a person needs to decide."""
    console.print(f"[bold {_COLOURS[result.verdict]}]{escape(w.verdict(result))}[/]")
    console.print(escape(w.rank(result)))
    console.print(escape(w.money(result)))
    console.print()
    title = "Billed duration, ms"
    console.print(
        _table(title, ("", "old", "new", "difference", "95 % interval", "change"), w.figure_rows(result))
    )
    for side, group in w.sides(result):
        console.print(f"  [dim]{side}: {escape(group.name)} ({w.compared(group)})[/]")
    console.print()
    console.print(_table("Starts by kind, ms", w.KIND_HEADER, w.kind_rows(result), left=2))
    console.print(_table("Money", *w.money_table(result)))
    if boots := list(w.boot_rows(result)):
        console.print(_table("Inside the thaw", ("", "item", "n", "median ms", "p99 ms"), boots, left=2))
    if fallbacks := list(w.fallback_rows(result)):
        console.print(_table("Cold instead of thawed", ("", "times", "reason"), fallbacks, left=3))
    for doubt in result.doubts:
        console.print(f"[yellow]doubt[/] {escape(doubt.text)} [dim]{escape(doubt.remedy)}[/]")
    for side, group in w.sides(result):
        for problem in group.problems:
            text = escape(problem.text.replace("\t", " "))
            console.print(
                f"[red]{side} line {problem.line}[/] {escape(problem.why)}: [dim]{text}[/]", soft_wrap=True
            )
        if group.malformed > len(group.problems):
            console.print(f"[red]{side}[/] … and {group.malformed - len(group.problems):,} more")


def _table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(header):
        table.add_column(name, justify="left" if i < left else "right", no_wrap=i < left)
    for row in rows:
        table.add_row(*[escape(cell) for cell in row])
    return table
