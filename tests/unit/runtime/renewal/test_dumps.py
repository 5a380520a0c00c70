"""The fault handler's dump that is due later stops at the freeze and begins anew at the wake."""

from __future__ import annotations

import faulthandler
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from quickthaw.runtime.renewal import dumps

SOON_S = 0.05
OWN = (faulthandler.dump_traceback_later, faulthandler.cancel_dump_traceback_later)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[IO[str]]:
    with (tmp_path / "dump").open("w+") as opened:
        dumps.begin()
        yield opened
        dumps.remember()
        faulthandler.cancel_dump_traceback_later()


def dumped(file: IO[str], *, wait_s: float = 10) -> int:
    """How many dumps there are; waits for the first."""
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        file.seek(0)
        count = file.read().count("Timeout")
        if count:
            return count
        time.sleep(SOON_S / 10)
    return 0


def test_between_freeze_and_wake_nothing_is_dumped(file: IO[str]) -> None:
    faulthandler.dump_traceback_later(SOON_S, file=file)
    due = dumps.remember()
    assert dumped(file, wait_s=SOON_S * 4) == 0
    dumps.renew(due)
    assert dumped(file) == 1


def test_one_that_has_come_does_not_come_again(file: IO[str]) -> None:
    faulthandler.dump_traceback_later(timeout=SOON_S, file=file)
    assert dumped(file) == 1
    assert dumps.remember() is None


def test_one_that_repeats_goes_on(file: IO[str]) -> None:
    faulthandler.dump_traceback_later(SOON_S, True, file)
    assert dumped(file)
    due = dumps.remember()
    file.truncate(0)
    dumps.renew(due)
    assert dumped(file)


def test_one_that_was_cancelled_does_not_come(file: IO[str]) -> None:
    faulthandler.dump_traceback_later(3600, file=file)
    faulthandler.cancel_dump_traceback_later()
    assert dumps.remember() is None


def test_the_last_one_counts(file: IO[str]) -> None:
    faulthandler.dump_traceback_later(SOON_S, file=file)
    faulthandler.dump_traceback_later(3600, file=file)
    due = dumps.remember()
    assert due is not None
    assert due.arguments == (3600,)


def test_what_the_interpreter_refuses_is_not_noted(file: IO[str]) -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        faulthandler.dump_traceback_later(0, file=file)
    assert dumps.remember() is None


def test_the_module_has_its_own_functions_back() -> None:
    dumps.begin()
    assert faulthandler.dump_traceback_later is not OWN[0]
    dumps.remember()
    assert (faulthandler.dump_traceback_later, faulthandler.cancel_dump_traceback_later) == OWN
