"""A thaw by CRIU that stands still costs a quarter of a second; one that goes on is left alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from quickthaw import names

from tests.integration.faults.conftest import Freezer_, Start, decoder_that, lines
from tests.integration.thaw.conftest import assert_cold

pytestmark = [pytest.mark.criu, pytest.mark.sandbox]
HANGS = "if (calls++ == 20) for (;;) pause()"
MOST_LOST_S = 3.0  # 0.25 s on an idle machine, and what it takes to be scheduled on this one
Watch = Callable[[Callable[[int, int], None]], Callable[[int], None]]


@pytest.mark.parametrize("mode", ["grow", "async", "sync", "stream"])
def test_a_decoder_that_hangs_is_given_up(mode: str, start: Start, own_layer: Path) -> None:
    """In mode grow CRIU spins meanwhile: processor time is no progress."""
    decoder_that(own_layer, HANGS)
    run = start("criu", mode=mode, layer=own_layer)
    assert_cold(run, "made no progress for 0.25 s (no ")
    (line,) = lines(run)
    assert 0.25 < line["lost_s"] < MOST_LOST_S
    assert line["LostDuration"] == pytest.approx(line["lost_s"] * 1000, abs=0.01)
    assert line["Reason"] == "too-slow"


def test_a_criu_that_hangs_is_given_up(start: Start, own_layer: Path) -> None:
    (own_layer / "waits").write_text("#!/bin/sh\nexec tail -f /dev/null\n")
    (own_layer / "waits").chmod(0o755)
    run = start("criu", layer=own_layer, env={names.ENV_CRIU: "/opt/waits"})
    assert_cold(run, "made no progress for 0.25 s (no criu)")
    assert 0.25 < lines(run)[0]["lost_s"] < MOST_LOST_S


def test_a_criu_that_stops_in_the_middle_is_given_up(
    start: Start, when_restoring: Watch, own_layer: Path
) -> None:
    """The decoder goes on to its end, and is slow so that the middle is long enough to be met."""
    import os
    import signal

    def stop(_bootstrap: int, criu: int) -> None:
        os.kill(criu, signal.SIGSTOP)

    decoder_that(own_layer, "usleep(7000)")
    run = start("criu", layer=own_layer, before_exec=when_restoring(stop))
    assert_cold(run, "made no progress for 0.25 s", "took longer than a cold start's 1 s")
    assert 0.25 < lines(run)[0]["lost_s"] < MOST_LOST_S


@pytest.mark.parametrize("mode", ["grow", "async", "sync", "stream"])
def test_a_decoder_that_is_slow_but_goes_on_is_left_alone(mode: str, start: Start, own_layer: Path) -> None:
    decoder_that(own_layer, "usleep(5000)")
    run = start("criu", mode=mode, layer=own_layer)
    assert (run.engine, run.reason, run.errors) == ("criu", None, ())
    assert float(str(run.thaw and run.thaw["total_s"])) > 0.4, "slower than a stall may be"


def test_a_thaw_that_goes_on_too_slowly_ends_when_a_cold_start_would_have(
    start: Start, own_layer: Path
) -> None:
    decoder_that(own_layer, "usleep(40000)")
    run = start("criu", layer=own_layer)
    assert_cold(run, "took longer than a cold start's 1 s")
    assert 0.9 < lines(run)[0]["lost_s"] < names.INIT_LIMIT_S, "1 s in which it could have run"


def test_a_user_who_waits_longer_gets_the_thaw(start: Start, own_layer: Path) -> None:
    """A pause that is a stall by default, see above."""
    decoder_that(own_layer, "if (calls++ == 20) usleep(2500000)")
    run = start("criu", layer=own_layer, env={names.ENV_WATCHDOG: "9"})
    assert (run.engine, run.reason) == ("criu", None)
    assert float(str(run.thaw and run.thaw["total_s"])) > 2.5


def test_a_sandbox_that_is_frozen_in_the_middle_of_a_thaw_goes_on(
    start: Start, when_restoring: Watch, freezer: Freezer_
) -> None:
    """Time in which nobody could run is no stall."""

    def pause(_bootstrap: int, _criu: int) -> None:
        freezer.freeze()
        threading.Event().wait(1.5)
        freezer.thaw()

    watch = when_restoring(pause)

    def before_exec(pid: int) -> None:
        freezer.attach(pid)
        watch(pid)

    begin = time.monotonic()
    run = start("criu", before_exec=before_exec)
    assert time.monotonic() - begin > 1.5
    assert (run.engine, run.reason, run.errors) == ("criu", None, ())


def test_a_busy_machine_is_no_stall(start: Start) -> None:
    """Eight processes want each processor while the thaw runs."""
    import multiprocessing
    import os

    done = multiprocessing.Event()
    crowd = [multiprocessing.Process(target=_spin, args=(done,)) for _ in range(8 * (os.cpu_count() or 1))]
    for process in crowd:
        process.start()
    try:
        runs: list[Any] = [start("criu") for _ in range(3)]
    finally:
        done.set()
        for process in crowd:
            process.join()
    assert [(run.engine, run.reason) for run in runs] == [("criu", None)] * 3


def _spin(done: Any) -> None:
    while not done.is_set():
        pass
