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
