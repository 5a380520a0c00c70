"""The doctor's table: one column for each place, then the verdicts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from quickthaw.doctor.examine import Examined

DASH = "–"
WIDE = 110  # columns of a terminal that has room for what each question is about
_TITLES = {"here": "here", "lambda": "Lambda-like sandbox"}
_ERROR = re.compile(r"(?:\S+: )?(E[A-Z0-9]+): .*")  # of which the name is enough for a table

# What the outcome of a question means for us.
MEANING = {
    "PR_SET_MM_MAP_SIZE": "native: is it there",
    "PR_SET_MM_MAP": "native: the heap's place",
    "mremap_vdso": "native: else jumps to the vdso",
    "MADV_POPULATE_WRITE": "native: memory in one call",
    "MADV_HUGEPAGE": "native: fewer faults; else slower",
    "memfd_create": "native: the function's memory files",
    "membarrier": "native: if the function registered",
    "rseq": "native: glibc's per-thread area",
    "F_SETLEASE": "criu: mode async",
    "ptrace": "criu: needed to freeze",
    "clone3": "libc can do without",
    "clone3_set_tid": "criu: the same pid again",
    "userfaultfd": "criu: lazy pages; not used",
    "user_namespaces": "not used",
    "process_vm_readv": "criu: needed to freeze",
    "kcmp": "criu: needed to freeze",
    "pidfd_open": "not needed",
    "statx": "not needed",
    "io_uring": "refused at checkpoint",
    "fallocate": "not needed",
    "nested_seccomp": "CRIU puts filters back with it",
    "restorer": "native: the layer's program, run",
    "criu_check": "criu: the layer's program, run",
}


def as_json(places: Sequence[Examined]) -> dict[str, Any]:
    """{"here": the survey, "lambda": the survey}; a place that was not examined is left out."""
    return {examined.place: examined.document for examined in places}


def print_places(places: Sequence[Examined], console: Console) -> None:
    """The table, then which engine would be used in each place."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", no_wrap=True)
    for examined in places:
        table.add_column(_TITLES[examined.place], overflow="fold")
    wide = console.width >= WIDE
    if wide:
        table.add_column("", style="dim", overflow="fold")
    group = None
    for name, group_now in _rows(places):
        if group_now != group:
            if group is not None:
                table.add_row()
            table.add_row(f"[bold]{group_now}[/]")
            group = group_now
        cells = [_cell(examined.document["findings"].get(name)) for examined in places]
        if wide:
            cells.append(MEANING.get(name, ""))
        table.add_row(f"  {escape(name.removeprefix('file_system '))}", *cells)
    console.print(table)
    console.print()
    for examined in places:
        console.print(_verdict(examined), soft_wrap=True)
    console.print("Of a snapshot that does not fit (another CPU, other files) this says nothing: "
                  "quickthaw verify does.", style="dim", soft_wrap=True)  # fmt: skip


def _rows(places: Sequence[Examined]) -> dict[tuple[str, str], None]:
    """Names and their groups, in the order of the first place that has them."""
    return {
        (name, str(finding["group"])): None
        for examined in places
        for name, finding in examined.document["findings"].items()
    }


def _cell(finding: dict[str, Any] | None) -> str:
    if finding is None:
        return DASH
    value, note = _value(finding["value"], finding["unit"]), _ERROR.sub(r"\1", finding["note"] or "")
    if finding["ok"] is None:
        return escape(f"{value} ({note})" if note else value)
    answer = "[green]yes[/]" if finding["ok"] else "[red]no[/]"
    more = ", ".join(word for word in (value if value != DASH else "", note) if word)
    return f"{answer} {escape(more)}" if more else answer


def _value(value: str | float | None, unit: str | None) -> str:
    if value is None:
        return DASH
    if isinstance(value, str) or unit is None or value == 0:
        return str(value)
    if unit == "s":
        return f"{value * 1e6:.2f} µs"
    size = f"{value / 1e9:.1f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"
    return size + unit.removeprefix("bytes")


def _verdict(examined: Examined) -> str:
    engine = examined.document["engine"]
    text = f"[bold]{_TITLES[examined.place]}[/]: QUICKTHAW_ENGINE=auto comes to [bold]{engine['engine']}[/]"
    if engine["reason"]:
        text += f": {escape(engine['reason'])}"
    return "\n".join([text, *(f"  {escape(note)}" for note in engine["notes"])])
