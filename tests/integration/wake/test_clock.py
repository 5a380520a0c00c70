"""Monotonic time on a machine younger than the snapshot: it does not go back, and waits last as long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from quickthaw.sandbox import process

from tests.conftest import Freezer
from tests.integration.wake.conftest import ENGINES, Function

AHEAD_S = 30 * 86_400

FUNCTION = """
    import asyncio, functools, queue, select, threading, time
    from time import clock_gettime, monotonic, monotonic_ns, perf_counter

    LOOP = asyncio.new_event_loop()
    TAKEN = functools.partial(monotonic)
    def default(clock=time.perf_counter_ns): return clock() / 1e9
    CLOCKS = {
        "monotonic": monotonic, "monotonic_ns": lambda: monotonic_ns() / 1e9,
        "attribute": lambda: time.monotonic(),
        "partial": TAKEN, "perf_counter": perf_counter, "default": default, "loop": LOOP.time,
        "gettime": lambda: clock_gettime(time.CLOCK_MONOTONIC),
        "raw": lambda: clock_gettime(time.CLOCK_MONOTONIC_RAW),
        "gettime_ns": lambda: time.clock_gettime_ns(time.CLOCK_MONOTONIC) / 1e9,
        "boottime": lambda: clock_gettime(time.CLOCK_BOOTTIME),
    }
    AT_IMPORT = {name: clock() for name, clock in CLOCKS.items()}

    def lasts(wait):
        begin = time.time()
        wait()
        return time.time() - begin

    def get(waiting):
        try: waiting.get(timeout=0.1)
        except queue.Empty: pass

    def held(lock):
        lock.acquire()
        return lambda: lock.acquire(timeout=0.1)

    def condition():
        with (waiting := threading.Condition()):
            waiting.wait(0.1)

    def join():
        thread = threading.Thread(target=time.sleep, args=(0.3,))
        thread.start()
        thread.join(0.1)
        return thread.join

    async def timer():
        done = LOOP.create_future()
        LOOP.call_later(0.1, done.set_result, None)
        await done

    async def late():
        try: await asyncio.wait_for(asyncio.sleep(60), 0.1)
        except TimeoutError: pass

    WAITS = {
        "sleep": lambda: time.sleep(0.1), "event": lambda: threading.Event().wait(0.1),
        "lock": lambda: held(threading.Lock())(), "condition": condition, "join": join,
        "queue": lambda: get(queue.Queue()), "simple queue": lambda: get(queue.SimpleQueue()),
        "select": lambda: select.select([], [], [], 0.1), "timer": lambda: LOOP.run_until_complete(timer()),
        "wait_for": lambda: LOOP.run_until_complete(late()),
    }

    def handler(event, context):
        return {
            "import": AT_IMPORT,
            "now": {name: clock() for name, clock in CLOCKS.items()},
            "lasts": {name: lasts(wait) for name, wait in WAITS.items()},
        }
"""

THREADS = """
    import asyncio, queue, select, threading, time
    import snapshot_restore_py

    TICKS = {}
    ENDS = {}
    NEVER, LOCK, EMPTY = threading.Event(), threading.Lock(), queue.Queue()
    LOCK.acquire()

    def tick(name, wait):
        while True:
            wait(0.05)
            TICKS[name] = TICKS.get(name, 0) + 1

    def once(name, wait):
        wait()
        ENDS[name] = time.time()

    def get(timeout):
        try: EMPTY.get(timeout=timeout)
        except queue.Empty: pass

    for name, wait in {
        "event": NEVER.wait, "sleep": time.sleep, "queue": get, "lock": lambda s: LOCK.acquire(timeout=s),
        "select": lambda s: select.select([], [], [], s), "poll": lambda s: select.poll().poll(s * 1000),
    }.items():
        threading.Thread(target=tick, args=(name, wait), daemon=True).start()

    async def timers():
        while True:
            await asyncio.sleep(0.05)
            TICKS["timers"] = TICKS.get("timers", 0) + 1
    threading.Thread(target=asyncio.run, args=(timers(),), daemon=True).start()

    # Under way at the freeze: begun by the warm-up, still waiting when the process is thawed.
    def begin():
        for name, wait in {
            "event": lambda: NEVER.wait(5), "sleep": lambda: time.sleep(5), "queue": lambda: get(5),
            "lock": lambda: LOCK.acquire(timeout=5),
        }.items():
            threading.Thread(target=once, args=(name, wait), daemon=True).start()

    ENDED_BEFORE = []
    @snapshot_restore_py.register_after_restore
    def thawed():
        ENDED_BEFORE.extend(ENDS)

    def handler(event, context):
        if "begin" in event:
            begin()
            return {}
        before = {name: TICKS[name] for name in ("event", "sleep", "queue", "lock", "select", "poll",
            "timers")}
        deadline = time.time() + 15
        def slow(): return [name for name in before if TICKS[name] < before[name] + 3]
        while time.time() < deadline and (len(ENDS) < 4 or slow()):
            time.sleep(0.01)
        return {
            "ticks": {name: TICKS[name] - before[name] for name in before}, "ends": sorted(ENDS),
            "before": ENDED_BEFORE,
        }
"""


@pytest.fixture
def old_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkpoint sees the clocks of a machine that was started a month before this one."""
    prefix = ["unshare", "--time", f"--monotonic={AHEAD_S}", f"--boottime={AHEAD_S}", "--"]
    monkeypatch.setattr(process, "_young_clocks", lambda: prefix)


def check(answer: dict[str, Any]) -> None:
    assert answer["import"]["monotonic"] > AHEAD_S, "the clock stood ahead at the freeze"
    for name, then in answer["import"].items():
        assert then <= answer["now"][name] < then + 600, name
    for name, seconds in answer["lasts"].items():
        assert 0.09 < seconds < 1.5, name


@pytest.mark.timeout(240)
def test_time_does_not_go_back_and_waits_last_as_long(
    old_machine: None, each_python: Path, freeze: Freezer, layer: Path, tmp_path: Path
) -> None:
    function = Function(tmp_path, freeze, layer, each_python)
    function.write(FUNCTION)
    function.freeze({})
    for engine in ENGINES:
        check(function.thaw(engine))


@pytest.mark.timeout(240)
def test_threads_in_timed_waits_wait_on_for_what_is_left(
    old_machine: None, each_python: Path, freeze: Freezer, layer: Path, tmp_path: Path
) -> None:
    function = Function(tmp_path, freeze, layer, each_python)
    function.write(THREADS)
    function.freeze({"begin": True}, layout="lz4")
    for engine in ENGINES:
        answer = function.thaw(engine, timeout_s=60.0)
        assert answer["before"] == [], "they were under way"
        assert answer["ends"] == ["event", "lock", "queue", "sleep"], "none waits for a month"
        assert not [name for name, count in answer["ticks"].items() if count < 3]


@pytest.mark.parametrize("engine", ENGINES)
def test_an_older_machines_clock_is_left_alone(engine: str, function: Function) -> None:
    function.write(
        """
        import time
        AT_IMPORT = time.monotonic()
        def handler(event, context):
            with open("/proc/uptime") as file:
                return [AT_IMPORT, time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME),
                    float(file.read().split()[0])]
        """
    )
    function.freeze({})
    at_import, now, boottime, uptime = function.thaw(engine)
    assert at_import < now
    assert boottime == pytest.approx(uptime, abs=1), "the kernel's clock, as it is"
