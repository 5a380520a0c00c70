"""What the import set for its process: a timed step of the wake, and gone again where the wake fails."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.wake.conftest import ENGINES, Function

FUNCTION = """
    import ctypes, os, resource, signal
    from snapshot_restore_py import register_after_restore
    libc = ctypes.CDLL(None)

    def seen():
        umask, reaper = os.umask(0), ctypes.c_int()
        os.umask(umask)
        libc.prctl(37, ctypes.byref(reaper), 0, 0, 0)
        return {
            "umask": umask, "directory": os.getcwd(), "reaper": reaper.value,
            "files": resource.getrlimit(resource.RLIMIT_NOFILE), "slack": libc.prctl(30, 0, 0, 0, 0),
            "core": resource.getrlimit(resource.RLIMIT_CORE), "nice": os.getpriority(os.PRIO_PROCESS, 0),
            "processors": sorted(os.sched_getaffinity(0)), "timer": signal.getitimer(signal.ITIMER_REAL),
            "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
            "pending": sorted(signal.sigpending()),
            "ignored": signal.getsignal(signal.SIGUSR2) is signal.SIG_IGN,
        }

    AT_START = seen()
    os.umask(0o077)
    os.chdir("/tmp")
    libc.prctl(36, 1, 0, 0, 0)
    libc.prctl(29, 77_000, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (321, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(3)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    signal.setitimer(signal.ITIMER_REAL, 500)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)

    IN_HOOK = {}
    @register_after_restore
    def fail():
        IN_HOOK.update(seen())
        FAILS

    def handler(event, context):
        return {"start": AT_START, "now": seen(), "hook": IN_HOOK}
"""


def wake_steps(log: list[str]) -> dict[str, float]:
    """Of the one line that a thawed process wrote."""
    lines = [json.loads(line) for line in log if line.startswith('{"quickthaw"')]
    assert len(lines) == 1
    found: dict[str, float] = lines[0]["wake_steps"]
    return found


@pytest.mark.parametrize("engine", ENGINES)
def test_settings_hold_before_the_hooks_run_and_are_a_step_of_the_wake(
    engine: str, function: Function
) -> None:
    function.write(FUNCTION.replace("FAILS", "pass"))
    function.freeze(layout="lz4")
    run = function.start(engine)
    assert (run.engine, run.errors) == (engine, ()), run.log
    assert wake_steps(list(run.log))["settings"] > 0
    answer: Any = run.answers[0]
    cold: Any = function.cold()
    for name in ("timer", "blocked", "pending", "ignored"):  # not the settings' business, but the engines'
        answer["now"].pop(name), cold["now"].pop(name), answer["hook"].pop(name)
    assert answer["now"] == cold["now"]
    final = {"core": cold["now"]["core"], "nice": cold["now"]["nice"]}
    assert {**answer["hook"], **final} == cold["now"]


def test_a_cold_start_after_a_failed_wake_finds_what_the_environment_had(function: Function) -> None:
    function.write(
        FUNCTION.replace("FAILS", "os.kill(os.getpid(), signal.SIGUSR1); raise ValueError('no luck')")
    )
    function.freeze(layout="lz4")
    run = function.start("native")
    assert (run.engine, run.errors) == ("cold", ()), run.log
    assert str(run.reason).endswith("hooks: ValueError: no luck (Runtime.AfterRestoreError)")
    thawed_first: Any = run.answers[0]
    assert thawed_first["start"] == function.cold()["start"]
