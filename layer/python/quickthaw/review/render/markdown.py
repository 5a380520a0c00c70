"""The comparison as Markdown (GitHub tables), for a pull request or a log line.

Standard library only: the scheduled function on Lambda logs this text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..compare import Comparison
from . import wording as w


def markdown(result: Comparison) -> str:
    """The whole text, ending in a line end."""
    parts = [
        f"**{w.verdict(result)}**",
        f"{w.rank(result)} {w.money(result)}",
        f"Billed duration in ms; old: `{result.old.name}` ({w.compared(result.old)}), "
        f"new: `{result.new.name}` ({w.compared(result.new)}).",
        _table(("", "old", "new", "difference", "95 % interval", "change"), w.figure_rows(result)),
        _table(w.KIND_HEADER, w.kind_rows(result), left=2),
        _table(*w.money_table(result)),
    ]
    if boots := list(w.boot_rows(result)):
        parts.append(_table(("", "thawed starts", "n", "median ms", "p99 ms"), boots, left=2))
    if fallbacks := list(w.fallback_rows(result)):
        parts.append(_table(("", "times", "cold instead of thawed, because"), fallbacks, left=3))
    if result.doubts:
        parts.append("Doubts:")
        parts.append("\n".join(f"- {doubt.text} *{doubt.remedy}*" for doubt in result.doubts))
    for side, group in w.sides(result):
        if group.problems:
            parts.append(f"Lines of {side} that could not be read ({group.malformed:,}):")
            lines = [
                f"- line {problem.line}: {problem.why}: `{_code(problem.text)}`" for problem in group.problems
            ]
            parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    rule = ["---" if i < left else "--:" for i in range(len(header))]
    lines = [header, rule, *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _code(text: str) -> str:
    return text.replace("`", "'").replace("\n", " ").replace("\t", " ")
