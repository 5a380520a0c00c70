"""Where logs come from: files, directories, gzip, UTF-16."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from quickthaw.errors import UsageError
from quickthaw.review import sources

from tests.unit.review.conftest import FELL_BACK, SEED, THAWED, report

LINES = (THAWED + "\n" + report(duration=50.0, init=60.0) + "\n" + report(duration=5.0) + "\n").encode()


def kinds(path: Path) -> dict[str, int]:
    return {kind: account.n for kind, account in sources.read(str(path)).accounts.items() if account.n}


@pytest.mark.parametrize(
    "data",
    [
        LINES,
        gzip.compress(LINES),
        gzip.compress(LINES[:100]) + gzip.compress(LINES[100:]),
        LINES.decode().encode("utf-16"),
    ],
    ids=["plain", "gzip", "gzip in two members", "UTF-16"],
)
def test_the_same_log_in_any_wrapping(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(data)
    assert kinds(path) == {"thawed": 1, "warm": 1}


def test_a_directory_is_all_its_files_each_a_stream_of_its_own(tmp_path: Path) -> None:
    for name, data in (("a/000000.gz", gzip.compress(LINES)), ("b/000000", LINES), (".hidden", LINES)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    # ends with a start that never came: the next file must not inherit it
    (tmp_path / "a/000001").write_text(FELL_BACK + "\n")
    assert kinds(tmp_path) == {"thawed": 2, "warm": 2}


def test_progress_adds_up_to_the_size(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(LINES * 20_000)
    (tmp_path / "log.gz").write_bytes(gzip.compress(LINES * 100))
    seen: list[int] = []
    sources.read(str(tmp_path), seen.append)
    assert sum(seen) == sources.size(str(tmp_path))
    assert len(seen) > 2


@pytest.mark.parametrize("case", ["missing", "empty directory", "cut gzip"])
def test_a_log_that_cannot_be_read_is_named(case: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    if case == "empty directory":
        path.mkdir()
    elif case == "cut gzip":
        path.write_bytes(gzip.compress(LINES * 100)[:-20])
    with pytest.raises(UsageError, match=str(path)):
        sources.read(str(path))


def test_the_first_logs_are_twenty_records() -> None:
    assert sources.read(str(SEED)).accounts["cold"].n == 20
