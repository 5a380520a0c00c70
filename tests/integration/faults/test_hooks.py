"""After-restore hooks that go wrong, and a wake that is killed: the request is answered all the same."""

from __future__ import annotations

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from quickthaw import names
from quickthaw.emulator.run import EnvironmentRun
from quickthaw.runtime import attempts

from tests.integration.faults.conftest import ENGINES, Start, children, lines
from tests.integration.thaw.conftest import assert_cold

pytestmark = [pytest.mark.criu, pytest.mark.sandbox]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_hook_that_raises_is_a_cold_start(engine: str, start: Start) -> None:
    assert_cold(start(engine, fault="raise"), "hooks: ValueError: no luck")


@pytest.mark.parametrize("fault", ["wait", "spin"])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_hook_that_hangs_is_given_up_when_a_cold_start_would_have_ended(
    engine: str, fault: str, start: Start
) -> None:
    run = start(engine, fault=fault)
    assert_cold(run, "took longer than")
    assert 0.9 < lines(run)[0]["lost_s"] < 5


@pytest.mark.parametrize("engine", ENGINES)
def test_a_hook_may_take_longer_than_a_stall(engine: str, start: Start) -> None:
    run = start(engine, fault="slow")
    assert (run.engine, run.errors) == (engine, ())
    assert run.thaw is not None and float(str(run.thaw["wake_s"])) > 0.6


@pytest.mark.parametrize("engine", ENGINES)
def test_a_hook_gets_the_time_that_the_user_gives_it(engine: str, start: Start) -> None:
    run = start(engine, fault="wait", env={"QUICKTHAW_WATCHDOG": "0.4"})
    assert_cold(run, "took longer than")
    assert 0.35 < lines(run)[0]["lost_s"] < 3


def test_a_hook_that_hangs_inside_c_ends_the_process_and_then_the_thaws(
    start: Start, shared_tmp: Path
) -> None:
    """No signal reaches Python there: the process shows where it hangs and ends, twice; then a cold start."""
    begin = time.monotonic()
    run = start("native", fault="stuck", events=3, tmp=shared_tmp)
    assert time.monotonic() - begin < 60
    assert_given_up_after_two(run)
    assert sum("pthread_mutex_lock" in line or "in faulty" in line for line in run.log) >= 2


def test_with_criu_a_hook_that_hangs_inside_c_is_killed(start: Start) -> None:
    assert_cold(start("criu", fault="stuck"), "took longer than")


def test_a_killed_wake_is_lambdas_own_error_and_the_third_start_is_cold(
    start: Start, shared_tmp: Path
) -> None:
    assert_given_up_after_two(start("native", fault="kill", events=3, tmp=shared_tmp))


def assert_given_up_after_two(run: EnvironmentRun) -> None:
    """The init and the first event met the fault; what the caller got is Lambda's; the rest was answered."""
    assert [error["event"] for error in run.errors] == [0]
    assert run.errors[0]["errorType"] == "Runtime.ExitError"
    assert "Runtime exited with error" in str(run.errors[0]["errorMessage"])
    assert [line["reason"] for line in lines(run)] == [
        "the thaw failed 2 times in this environment and is not tried again"
    ]
    assert [answer["served"] for answer in run.answers if isinstance(answer, dict)] == [1, 2]


def test_with_criu_a_killed_wake_is_a_cold_start(start: Start) -> None:
    assert_cold(start("criu", fault="kill"), "ended with signal 9 before it woke")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_thaw_that_failed_twice_is_not_tried_a_third_time(
    engine: str, start: Start, shared_tmp: Path
) -> None:
    reasons = [lines(start(engine, fault="raise", tmp=shared_tmp))[0]["reason"] for _ in range(3)]
    assert ["no luck" in reason for reason in reasons] == [True, True, False]
    assert reasons[2].startswith("the thaw failed 2 times in this environment and is not tried again")
    assert len([path for path in shared_tmp.iterdir() if path.name.startswith(".quickthaw-")]) == 2
    assert all(path.stat().st_size == 0 for path in shared_tmp.iterdir())


@pytest.mark.parametrize("engine", ENGINES)
def test_a_wake_forgets_the_failure_before_it(engine: str, start: Start, shared_tmp: Path) -> None:
    for _ in range(2):
        assert start(engine, fault="raise", tmp=shared_tmp).engine == "cold"
        assert start(engine, tmp=shared_tmp, event={"settle": True}).engine == engine
        assert list(shared_tmp.iterdir()) == []


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_in_the_place_of_the_count_can_hold_a_start_up(
    engine: str, start: Start, shared_tmp: Path
) -> None:
    """Nor switch thaws off: what is no file of ours is another's business."""
    start(engine, fault="raise", tmp=shared_tmp)
    (mark,) = list(shared_tmp.iterdir())
    mark.unlink()
    places = [Path(f"{str(mark)[:-1]}{number}") for number in range(1, 5)]
    os.mkfifo(places[0])
    places[1].mkdir()
    places[2].symlink_to("/proc/self/fd/0")
    places[3].touch(0o600)  # root's
    for _ in range(2):
        run = start(engine, tmp=shared_tmp, event={"settle": True})
        assert (run.engine, run.reason, run.errors) == (engine, None, ())
        assert sorted(shared_tmp.iterdir()) == places


@pytest.mark.parametrize("engine", ENGINES)
def test_failures_of_long_ago_do_not_count(engine: str, start: Start, shared_tmp: Path) -> None:
    for _ in range(attempts.MOST):
        start(engine, fault="raise", tmp=shared_tmp)
    assert len(list(shared_tmp.iterdir())) == attempts.MOST
    for mark in shared_tmp.iterdir():
        then = mark.stat().st_mtime - attempts.OLD_S - 60
        os.utime(mark, (then, then))
    run = start(engine, tmp=shared_tmp, event={"settle": True})
    assert (run.engine, run.reason, run.errors) == (engine, None, ())
    assert list(shared_tmp.iterdir()) == []


@pytest.mark.parametrize("engine", ENGINES)
def test_starts_that_are_under_way_in_the_same_tmp_are_no_failures(
    engine: str, start: Start, shared_tmp: Path
) -> None:
    """All of them are in their hooks at once."""
    at_once = 2 * attempts.MOST + 1
    more = {"tmp": shared_tmp, "env": {names.ENV_WATCHDOG: "30"}, "event": {"settle": True}}
    with ThreadPoolExecutor(at_once) as threads:
        waiting = [threads.submit(start, engine, fault="slow", **more) for _ in range(at_once)]
        runs = [one.result() for one in waiting]
    assert [(run.engine, run.reason, run.errors) for run in runs] == [(engine, None, ())] * at_once
    assert list(shared_tmp.iterdir()) == []


@pytest.mark.parametrize("engine", ENGINES)
def test_the_file_that_counts_is_held_as_long_as_the_attempt_and_no_longer(
    engine: str, start: Start, shared_tmp: Path
) -> None:
    """While its hooks run it is locked; the process that serves has neither it nor its descriptor."""
    pids: list[int] = []
    held: list[bool] = []
    open_files: list[str] = []

    def on_line(line: str) -> None:
        if line.startswith("in the hook"):
            (mark,) = list(shared_tmp.glob(".quickthaw-*"))
            held.append(is_held(mark))
        if line.startswith("END"):
            for pid in (pids[0], *children(pids[0])):
                open_files.extend(os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir())

    settled = {"settle": True}
    run = start(engine, fault="says", tmp=shared_tmp, event=settled, before_exec=pids.append, on_line=on_line)
    assert (run.engine, run.reason, run.errors) == (engine, None, ())
    assert held == [True]
    assert open_files and not [name for name in open_files if ".quickthaw-" in name]


def is_held(path: Path) -> bool:
    """Whether somebody has locked it, by the rule of the engine that is written in Python."""
    fd = os.open(path, os.O_RDWR)
    try:
        os.lockf(fd, os.F_TEST, 0)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


@pytest.mark.parametrize(
    ("engine", "env", "said"),
    [
        ("native", {}, "app.py"),
        ("criu", {}, "app.py"),
        ("criu", {names.ENV_CRIU: "/nowhere/criu"}, "No such file"),
    ],
)
def test_what_is_declined_before_anything_was_tried_is_no_failure(
    engine: str,
    env: dict[str, str],
    said: str,
    start: Start,
    faulty_task: Path,
    shared_tmp: Path,
    tmp_path: Path,
) -> None:
    """Else the third start would give another reason, and go on doing so when the first is gone."""
    task = faulty_task
    if not env:
        task = tmp_path / "task"
        shutil.copytree(faulty_task, task)
        with (task / "app.py").open("a") as app:
            app.write("\nOTHER = True\n")
    for _ in range(3):
        run = start(engine, env=env, task=task, tmp=shared_tmp, event={"settle": True})
        assert (run.engine, run.errors) == ("cold", ())
        assert said in str(run.reason)
        assert list(shared_tmp.iterdir()) == []
    assert start(engine, tmp=shared_tmp, event={"settle": True}).engine == engine


@pytest.mark.parametrize("engine", ENGINES)
def test_the_limit_of_the_wake_leaves_no_trace(engine: str, start: Start) -> None:
    """Timer, handler and watchdog thread are as they were before."""
    (answer,) = start(engine).answers
    assert isinstance(answer, dict)
    assert answer["timer"] == [0.0, 0.0]
    assert answer["alarm"] == "0", "SIG_DFL"
    assert (answer["threads"], answer["tasks"]) == (1, 1)


def test_both_engines_share_one_limit(start: Start) -> None:
    """Where CRIU is permitted it comes second; a hook that ate the time once does not get it again."""
    run = start("criu", fault="wait", env={names.ENV_ENGINE: "auto"})  # the sandbox that CRIU may work in
    assert_cold(run, "took longer than")
    assert 0.9 < lines(run)[0]["lost_s"] < 3, lines(run)
