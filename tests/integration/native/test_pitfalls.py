"""README.md beside this file names what covers each pitfall; what it names must be there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[2]
ROWS = re.findall(r"^\| (\d+) \| (.+) \| (.+) \|$", Path(__file__).with_name("README.md").read_text(), re.M)


def functions(*paths: Path) -> set[str]:
    return {name for path in paths for name in re.findall(r"^def (\w+)\(", path.read_text(), re.M)}


def test_every_pitfall_has_a_row() -> None:
    assert [int(number) for number, _, _ in ROWS] == list(range(1, 27))


@pytest.mark.parametrize(("number", "shown"), [(number, shown) for number, _, shown in ROWS])
def test_what_covers_a_pitfall_exists(number: str, shown: str) -> None:
    tests = functions(*TESTS.rglob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", shown)
    checks = re.findall(r"`(selftest|held)\.(\w+)`", shown)
    assert named or checks, f"pitfall {number} is covered by nothing"
    assert set(named) <= tests
    for victim, name in checks:
        assert name in functions(TESTS / "victims" / "native" / f"{victim}.py"), f"{victim}.{name}"
