"""The fault handler's dump that is due later stops at the freeze and begins anew at the wake."""

from __future__ import annotations

import faulthandler
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

import pytest
from quickthaw.runtime.renewal import dumps

SOON_S = 0.2
OWN = (faulthandler.dump_traceback_later, faulthandler.cancel_dump_traceback_later)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[IO[str]]:
    with (tmp_path / "dump").open("w+") as opened:
        dumps.begin()
        yield opened
        dumps.remember()
        faulthandler.cancel_dump_traceback_later()


def dumped(file: IO[str], *, wait_s: float = 10) -> int:
    """How many dumps there are; waits for the first, asleep: the frames that one reads must not change."""
    deadline = time.monotonic() + wait_s
    while True:
        time.sleep(SOON_S * 1.5)
        file.seek(0)
        count = file.read().count("Timeout")
        if count or time.monotonic() >= deadline:
            return count


def test_between_freeze_and_wake_nothing_is_dumped(file: IO[str]) -> None:
    faulthandler.dump_traceback_later(SOON_S, file=file)
    due = dumps.remember()
    dumps.renew(due)
    assert dumped(file, wait_s=0) == 0
    dumps.renew_for_good()
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
    dumps.renew_for_good()
    assert dumped(file)


def test_one_that_was_cancelled_does_not_come(file: IO[str]) -> None:
    faulthandler.dump_traceback_later(3600, file=file)
    faulthandler.cancel_dump_traceback_later()
    assert dumps.remember() is None


def test_what_a_hook_asks_for_is_done_after_the_hooks(file: IO[str]) -> None:
    faulthandler.dump_traceback_later(3600, file=file)
    dumps.renew(dumps.remember())
    faulthandler.dump_traceback_later(SOON_S, file=file)
    OWN[1]()  # as the end of the time that hooks have
    dumps.renew_for_good()
    assert dumped(file) == 1


def test_what_a_hook_cancels_does_not_come(file: IO[str]) -> None:
    faulthandler.dump_traceback_later(SOON_S, file=file)
    dumps.renew(dumps.remember())
    faulthandler.cancel_dump_traceback_later()
    dumps.renew_for_good()
    assert dumped(file, wait_s=0) == 0


def test_the_moment_of_another_clock_does_not_count(file: IO[str]) -> None:
    faulthandler.dump_traceback_later(SOON_S, file=file)
    due = dumps.remember()
    assert due is not None
    dumps.renew(replace(due, last_s=time.monotonic() - 1))
    dumps.renew_for_good()
    assert dumped(file) == 1


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
