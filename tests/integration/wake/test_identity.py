"""Threads know their new names in the kernel."""

from __future__ import annotations

import pytest

from tests.integration.wake.conftest import ENGINES, Function


@pytest.mark.parametrize("engine", ENGINES)
def test_every_threads_native_id_is_the_kernels(engine: str, function: Function) -> None:
    function.write(
        """
        import os, threading
        from concurrent.futures import ThreadPoolExecutor
        POOL = ThreadPoolExecutor(3)
        BARRIER = threading.Barrier(3)
        def own():
            BARRIER.wait(5)
            return threading.get_native_id(), threading.current_thread().native_id
        list(POOL.map(lambda _: own(), range(3)))
        def handler(event, context):
            return {
                "pairs": list(POOL.map(lambda _: own(), range(3))),
                "main": [threading.get_native_id(), threading.main_thread().native_id, os.getpid()],
                "kernel": [int(name) for name in os.listdir("/proc/self/task")],
                "known": [thread.native_id for thread in threading.enumerate()],
            }
        """
    )
    function.freeze({})
    answer = function.thaw(engine)
    assert all(kernel == known for kernel, known in answer["pairs"])
    assert len(set(answer["main"])) == 1
    assert set(answer["known"]) <= set(answer["kernel"])


@pytest.mark.parametrize("engine", ENGINES)
def test_what_remembers_the_pid_does_not_see_a_fork(engine: str, function: Function) -> None:
    function.write(
        """
        import asyncio, multiprocessing.util, os, threading
        ENDED, TICKS = [], []
        FINAL = multiprocessing.util.Finalize(None, ENDED.append, args=("finalized",), exitpriority=1)
        async def tick():
            while True:
                await asyncio.sleep(0.01)
                TICKS.append(asyncio.get_running_loop() is LOOP)
        LOOP = asyncio.new_event_loop()
        threading.Thread(target=LOOP.run_until_complete, args=(tick(),), daemon=True).start()
        def in_child():
            read, write = os.pipe()
            if (pid := os.fork()) == 0:
                os.write(write, b"same" if asyncio._get_running_loop() else b"none")
                os._exit(0)
            os.waitpid(pid, 0)
            return os.read(read, 4).decode()
        async def forked():
            return in_child()
        def handler(event, context):
            count = len(TICKS)
            FINAL()
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0.1), LOOP).result(5)
            return [len(TICKS) > count + 2, all(TICKS), ENDED, asyncio.run(forked())]
        """
    )
    function.freeze(layout="lz4")
    assert function.thaw(engine) == [True, True, ["finalized"], "none"]
    assert function.cold() == [True, True, ["finalized"], "none"]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_loop_that_begins_to_run_at_the_freeze_keeps_running(engine: str, function: Function) -> None:
    function.write(
        """
        import asyncio, sys, threading, time
        MAIN = threading.main_thread().ident
        async def tick():
            while True:
                await asyncio.sleep(0.01)
        LOOP = asyncio.new_event_loop()
        def run():
            while sys._current_frames()[MAIN].f_code.co_name != "_document":  # of the freeze, at its point
                time.sleep(0.001)
            LOOP.run_until_complete(tick())
        threading.Thread(target=run, daemon=True).start()
        def handler(event, context):
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0.1), LOOP).result(5)
            return LOOP.is_running()
        """
    )
    function.freeze(layout="lz4")
    assert function.thaw(engine) is True
