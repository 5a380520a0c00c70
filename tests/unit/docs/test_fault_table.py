"""The fault table: each row's test exists, and each fault that was promised has a row."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TABLE = ROOT / "tests" / "integration" / "faults" / "README.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TABLE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| fault ")
]
# Words that a row's fault must have, and the engines whose rows must have them.
PROMISED = {
    "flipped byte in any file": {"criu"},
    "flipped bit in the plan": {"native"},
    "truncated page file": {"criu"},
    "cut, exchanged or missing": {"native"},
    "missing image": {"criu"},
    "full /tmp": {"criu", "native"},
    "CRIU killed in the middle": {"criu"},
    "decompress thread fails at block k": {"criu"},
    "manifest of another version": {"criu"},
    "mapped library that changed": {"criu", "native"},
    "checkpoint killed at any moment": {"–"},
    "wake is killed": {"criu", "native"},
    "hook raises": {"both"},
    "hook hangs": {"both"},
    "clock set back a day": {"both"},
    "replaced while it is thawed": {"both"},
    "/opt, or a part of it, unreadable": {"both"},
    "out of memory during the fill": {"criu", "native"},
    "ENOSPC": {"criu", "native"},
    "EMFILE": {"both"},
    "SIGTERM during the thaw": {"criu", "native"},
}


def names_in(path: Path) -> set[str]:
    """The names of a file's tests."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


@pytest.mark.parametrize("row", ROWS, ids=[f"{row[0]}, {row[1]}" for row in ROWS])
def test_the_test_of_each_row_exists(row: list[str]) -> None:
    assert len(row) == 4 and all(row)
    path, _, name = row[3].strip("`").partition("::")
    assert name in names_in(ROOT / path)


@pytest.mark.parametrize("fault", sorted(PROMISED))
def test_each_fault_that_was_promised_has_a_row_for_each_engine(fault: str) -> None:
    assert {row[1] for row in ROWS if fault in row[0]} >= PROMISED[fault]


def test_the_readme_leads_to_the_table() -> None:
    assert str(TABLE.relative_to(ROOT)) in (ROOT / "README.md").read_text(encoding="utf-8")


def test_names_in_the_text_are_the_ones_of_the_code() -> None:
    from quickthaw.runtime import attempts, metrics, watchdog

    text = TABLE.read_text(encoding="utf-8")
    assert metrics.LOST in text
    assert f"{watchdog.STALL_S:g} s without progress" in text
    assert f"least {watchdog.LEAST_S:g} s" in re.sub(r"\s+", " ", text)
    assert attempts.MOST == 2 and "Two of them" in text
    assert attempts.OLD_S == 3600 and "an hour" in text
    native = (ROOT / "layer" / "native" / "thaw.h").read_text(encoding="utf-8")
    assert f"MOST_ATTEMPTS {attempts.MOST}" in native
