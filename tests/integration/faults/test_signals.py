"""Signals, freezes between invocations and long lives: a thawed function is ended and paused as any other."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from quickthaw import names
from quickthaw.emulator import environ
from quickthaw.emulator.run import EnvironmentRun
from quickthaw.emulator.site import runtime_site
from quickthaw.sandbox.layout import layout
from quickthaw.sandbox.process import start as start_sandbox
from quickthaw.sandbox.spec import SandboxSpec

from tests.integration.faults.conftest import (
    DEADLINE_S,
    ENGINES,
    Freezer_,
    Start,
    children,
    criu_below,
    decoder_that,
    lines,
)

pytestmark = [pytest.mark.criu, pytest.mark.sandbox]

# --- several processes -------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", [*ENGINES, "auto"])
def test_several_processes_are_declined_with_one_reason(engine: str, start: Start) -> None:
    run = start(engine, env={"AWS_LAMBDA_MAX_CONCURRENCY": "4"})
    assert [line["engine"] for line in lines(run)] == ["cold"]
    assert "AWS_LAMBDA_MAX_CONCURRENCY wants several processes" in lines(run)[0]["reason"]


# --- told to end while it serves ---------------------------------------------------------------------


def ended_by(number: int, engine: str | None, start: Start, **more: Any) -> EnvironmentRun:
    """Sends a signal to the process that Lambda knows, after the first answer."""
    pids: list[int] = []

    def on_line(line: str) -> None:
        if line.startswith("END") and pids:
            pid = pids.pop()
            os.kill(pid, number)
            # Python's own handlers run only when the runtime client's native next() returns.
            until(lambda: state(pid) in ("", "Z"), 0.5, fail=False)

    more = {"snapshot": None} | more if engine is None else more
    return start(engine or "off", events=2, before_exec=pids.append, on_line=on_line, **more)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_a_thawed_function_as_it_ends_a_cold_started_one(
    engine: str, number: int, start: Start
) -> None:
    thawed, cold = ended_by(number, engine, start), ended_by(number, None, start)
    assert thawed.engine == engine
    assert [error["errorType"] for error in thawed.errors] == [error["errorType"] for error in cold.errors]
    assert last_words(thawed) == last_words(cold)


def last_words(run: EnvironmentRun) -> list[str]:
    """What the caller was told, without the request id."""
    return [str(error["errorMessage"]).partition("Error: ")[2] for error in run.errors]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_functions_own_handler_gets_the_shutdown_signal(
    engine: str, start: Start, faulty_task: Path, freeze: Callable[..., Path], tmp_path: Path
) -> None:
    """What an extension's shutdown needs: SIGTERM arrives in the function, whose handler ends it."""
    snapshot = freeze(faulty_task, tmp_path / "snapshot", environ={"ENDS_ITSELF": "yes"}, layout="lz4")
    run = ended_by(signal.SIGTERM, engine, start, snapshot=snapshot)
    assert run.engine == engine
    assert "told to end" in run.log
    assert last_words(run)[0] == "Runtime exited with error: exit status 7"


# --- told to end, or killed, in the middle of a thaw -------------------------------------------------

SHELL = """
programs() {
    for process in /proc/[0-9]*; do tr '\\0' '\\n' 2>/dev/null <$process/cmdline | head -1; done |
        grep -e python -e criu
}
/opt/bin/bootstrap "$@" & first=$!
wait $first
echo "ended $?"
for _ in 1 2 3 4 5 6 7 8 9 10; do  # what lost its parent may need a moment to see that
    [ -z "$(programs)" ] && break
    sleep 0.1
done
echo "processes" $(programs)
echo "tmp" $(ls -A /tmp)
/opt/bin/bootstrap "$@" 2>/dev/null & second=$!
wait $second
echo "processes" $(programs)
echo "tmp" $(ls -A /tmp)
"""


@contextmanager
def shell(
    engine: str, snapshot: Path, task: Path, layer: Path, python: Path, switches: str = ""
) -> Iterator[tuple[int, Any]]:
    """A shell in the sandbox that starts the wrapper, and tells what is left; its pid and its output."""
    spec = SandboxSpec(
        python=python, task=task, layer=layer, snapshot=snapshot, runtime=runtime_site(python),
        kind="criu" if engine == "criu" else "lambda",
    )  # fmt: skip
    where = layout(spec)
    variables = environ.lambda_environ(
        where, name="function", handler="app.handler", version="3.11", memory_mb=512, api="127.0.0.1:9",
        log_format="Text", engine=engine, mode=None,
        own={names.ENV_NATIVE: switches, names.ENV_WATCHDOG: "9"},
    )  # fmt: skip
    command = [where.python, "-m", "awslambdaric", "app.handler"]
    read, write = os.pipe()
    with os.fdopen(read) as output:
        argv = ["/bin/sh", "-c", SHELL, "sh", *command]
        with start_sandbox(spec, argv, variables, stdout=write, stderr=write) as process:
            os.close(write)
            yield process.pid, output


def until(condition: Callable[[], Any], seconds: float = DEADLINE_S, *, fail: bool = True) -> Any:
    """The first true answer; after so many seconds fails, or returns None."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        threading.Event().wait(0.001)
    if fail:
        pytest.fail("it did not happen")
    return None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_middle_of_a_thaw_by_criu_ends_all_of_it(
    number: int, faulty: Path, faulty_task: Path, own_layer: Path, python: Path
) -> None:
    decoder_that(own_layer, "usleep(150000)")
    with shell("criu", faulty, faulty_task, own_layer, python) as (pid, output):
        bootstrap = until(lambda: next((child for child in children(pid) if criu_below(child)), 0))
        os.kill(bootstrap, number)
        said = [line.split() for line in output]
    assert ["ended", str(128 + number)] in said
    assert ["processes"] in said
    assert not [line for line in said if line[0].startswith("{")], "no cold start, so no reason for one"
    assert all(name.startswith(".quickthaw-criu-") for name in left_in_tmp(said)[0])


def left_in_tmp(said: list[list[str]]) -> list[list[str]]:
    """After the first start, and after the second."""
    return [line[1:] for line in said if line[:1] == ["tmp"]]


def test_a_bootstrap_that_is_killed_leaves_no_process_and_the_next_one_sweeps(
    faulty: Path, faulty_task: Path, own_layer: Path, python: Path
) -> None:
    decoder_that(own_layer, "usleep(150000)")
    with shell("criu", faulty, faulty_task, own_layer, python) as (pid, output):
        bootstrap = until(lambda: next((child for child in children(pid) if criu_below(child)), 0))
        os.kill(bootstrap, signal.SIGKILL)
        said = [line.split() for line in output]
    assert ["ended", "137"] in said
    after_kill, after_next = (line[1:] for line in said if line[0] == "processes")
    assert not [name for name in after_kill if "criu" not in name], "CRIU may go on, and what it restores"
    assert after_next == []
    after_kill, after_next = left_in_tmp(said)
    assert [name for name in after_kill if name.startswith("quickthaw-")], "the killed one could not tidy up"
    assert not [name for name in after_next if name.startswith("quickthaw-")]


def test_a_signal_in_the_middle_of_a_native_thaw_ends_it(
    faulty: Path, faulty_task: Path, layer: Path, python: Path
) -> None:
    """Held when everything is in place and nothing of the function runs yet."""
    with shell("native", faulty, faulty_task, layer, python, "hold") as (pid, output):

        def held() -> int:
            stopped = [child for child in children(pid) if state(child) == "T"]
            return stopped[0] if stopped else 0

        thawing = until(held)
        os.kill(thawing, signal.SIGTERM)
        os.kill(thawing, signal.SIGCONT)
        until(lambda: state(thawing) in ("", "Z"))
        second = until(held)
        os.kill(second, signal.SIGKILL)
        said = [line.split() for line in output]
    assert ["ended", "143"] in said
    assert ["processes"] in said
    assert all(name.startswith(".quickthaw-native-") for names_ in left_in_tmp(said) for name in names_)


def state(pid: int) -> str:
    """One letter; empty for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


# --- paused, and long-lived --------------------------------------------------------------------------


@pytest.mark.parametrize("engine", [*ENGINES, "off"])
def test_a_function_that_was_frozen_for_seconds_answers_the_next_event(
    engine: str, start: Start, freezer: Freezer_
) -> None:
    """Lambda stops the whole sandbox between invocations."""
    paused: list[list[int]] = []

    def on_line(line: str) -> None:
        if line.startswith("REPORT") and len(paused) < 2:
            paused.append(sorted(freezer.pids()))
            freezer.freeze()
            threading.Event().wait(2.0)
            freezer.thaw()

    begin = time.monotonic()
    run = start(engine, events=3, before_exec=freezer.attach, on_line=on_line)
    assert time.monotonic() - begin > 4
    assert (run.engine, run.errors) == ("cold" if engine == "off" else engine, ())
    served = [answer["served"] for answer in run.answers]  # type: ignore[index]
    assert served == list(range(served[0], served[0] + 3))
    assert len({answer["pid"] for answer in run.answers}) == 1, "one process all along"  # type: ignore[index]
    assert paused[0] == paused[1]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_thawed_function_serves_hundreds_of_events_with_steady_memory(engine: str, start: Start) -> None:
    run = start(engine, events=400)
    assert (run.engine, run.errors) == (engine, ())
    answers: list[Any] = list(run.answers)
    assert [answer["served"] for answer in answers] == list(range(2, 402)), "the warm-up was the first"
    assert {answer["sum"] for answer in answers} == {100_009}
    grown = answers[-1]["resident"] - answers[49]["resident"]
    assert grown < 1 << 20, f"{grown} bytes in 350 events"
    assert {answer["threads"] for answer in answers} == {1}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_function_that_crashes_is_started_again_and_thawed_again(
    engine: str, start: Start, shared_tmp: Path
) -> None:
    """A crash of the function's own is no failed thaw: the environment's next start is a thaw."""
    run = ended_by(signal.SIGKILL, engine, start, tmp=shared_tmp)
    assert [line["engine"] for line in lines(run)] == [engine]
    again = start(engine, tmp=shared_tmp)
    assert (again.engine, again.errors) == (engine, ())


def test_the_limit_of_lambdas_init_is_never_met_because_of_a_thaw() -> None:
    """A manifest that promises a long cold start gives a thaw no more than the rest of the 10 s."""
    from quickthaw.runtime import watchdog

    for cold_init_s in (0.05, 1.0, 4.0, 6.0, 9.5, 30.0):
        total_s = watchdog.total_s(None, cold_init_s)
        assert watchdog.LEAST_S <= total_s <= max(watchdog.LEAST_S, cold_init_s)
        if cold_init_s < names.INIT_LIMIT_S - watchdog.LEAST_S:
            assert total_s + cold_init_s <= names.INIT_LIMIT_S
