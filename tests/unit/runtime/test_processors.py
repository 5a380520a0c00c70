"""CRIU and its feed are kept apart, and nothing that is restored stays bound."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from quickthaw.runtime.processors import Processors

ALL = os.sched_getaffinity(0)


@pytest.fixture(autouse=True)
def _two_processors() -> Iterator[None]:
    if len(ALL) < 2:
        pytest.skip("this machine has one processor: there is nothing to share out")
    yield
    os.sched_setaffinity(0, ALL)


def test_the_feed_has_one_processor_and_criu_the_others() -> None:
    processors = Processors(apart=True)
    found: list[set[int]] = []

    def feed() -> None:
        processors.take_feed()
        found.append(os.sched_getaffinity(0))

    thread = threading.Thread(target=feed)
    processors.take_criu()
    criu = os.sched_getaffinity(0)
    processors.take_all()
    thread.start()
    thread.join()
    assert len(found[0]) == 1 and criu == ALL - found[0]
    assert os.sched_getaffinity(0) == ALL


def test_what_was_started_bound_gets_all_with_each_of_its_threads() -> None:
    processors = Processors(apart=True)
    threads = (
        "import threading; threading.Thread(target=input, daemon=True).start(); print(1, flush=True); input()"
    )
    processors.take_criu()
    with subprocess.Popen(
        [sys.executable, "-c", threads], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        processors.take_all()
        assert child.stdout is not None and child.stdout.readline() == b"1\n"
        tids = [int(tid) for tid in os.listdir(f"/proc/{child.pid}/task")]
        assert len(tids) == 2 and all(os.sched_getaffinity(tid) != ALL for tid in tids)
        processors.give_all(child.pid)
        assert all(os.sched_getaffinity(tid) == ALL for tid in tids)
        child.kill()


@pytest.mark.parametrize("apart", [False, True])
def test_nothing_is_bound_where_there_is_one_processor_or_no_need(apart: bool) -> None:
    if apart:
        os.sched_setaffinity(0, {min(ALL)})
    before = os.sched_getaffinity(0)
    processors = Processors(apart=apart)
    processors.take_criu()
    processors.take_feed()
    assert os.sched_getaffinity(0) == before
    processors.take_all()
    processors.give_all(os.getpid())
    assert os.sched_getaffinity(0) == before


def test_a_process_that_cannot_be_freed_is_an_error() -> None:
    processors = Processors(apart=True)
    processors.take_criu()
    processors.take_all()
    with pytest.raises(OSError):
        processors.give_all(1 << 22)  # no such process
