"""CRIU and its feed are kept apart, and nothing that is restored stays bound."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest
from quickthaw.errors import Declined
from quickthaw.runtime import settings
from quickthaw.runtime.placement import Placement

from tests.conftest import absent

ALL = os.sched_getaffinity(0)


@pytest.fixture
def two() -> Iterator[set[int]]:
    """Two processors for this process, whatever the machine has."""
    if len(ALL) < 2:
        absent("this machine has one processor: there is nothing to share out")
    chosen = set(sorted(ALL)[:2])
    os.sched_setaffinity(0, chosen)
    yield chosen
    os.sched_setaffinity(0, ALL)


def test_the_feed_has_one_processor_and_criu_the_other(two: set[int]) -> None:
    placement = Placement(apart=True)
    found: list[set[int]] = []

    def feed() -> None:
        placement.take_feed()
        found.append(os.sched_getaffinity(0))

    thread = threading.Thread(target=feed)
    placement.take_criu()
    criu = os.sched_getaffinity(0)
    placement.take_all()
    thread.start()
    thread.join()
    assert (criu, criu | found[0], criu & found[0]) == (placement.bound, two, set())
    assert os.sched_getaffinity(0) == placement.all == two


@pytest.mark.parametrize("apart", [False, True])
def test_nothing_is_bound_where_there_are_not_two_or_there_is_no_need(apart: bool, two: set[int]) -> None:
    if apart:
        os.sched_setaffinity(0, {min(two)})
    before = os.sched_getaffinity(0)
    placement = Placement(apart=apart)
    placement.take_criu()
    placement.take_feed()
    placement.take_all()
    assert os.sched_getaffinity(0) == before
    assert placement.bound == set()


def test_every_thread_is_freed_while_others_end_and_begin(two: set[int]) -> None:
    """A timer that was due while the process was frozen goes off as soon as CRIU resumes it."""
    done = threading.Event()

    def again() -> None:
        if not done.is_set():
            threading.Timer(0.0005, again).start()

    bound = {min(two)}
    for _ in range(60):
        os.sched_setaffinity(0, bound)
        done.clear()
        for _ in range(4):
            again()
        for tid in os.listdir("/proc/self/task"):
            try:
                os.sched_setaffinity(int(tid), bound)
            except ProcessLookupError:
                continue
        settings.unbind(bound, two)
        left = [os.sched_getaffinity(0)]
        other = threading.Thread(target=lambda left=left: left.append(os.sched_getaffinity(0)))
        other.start()
        done.set()
        other.join()
        for thread in threading.enumerate():
            if isinstance(thread, threading.Timer):
                thread.join()
        assert left == [two, two]


def test_a_thread_that_chose_its_own_processors_keeps_them(two: set[int]) -> None:
    settings.unbind({min(two)}, {max(two)})
    assert os.sched_getaffinity(0) == two
    settings.unbind(set(), {max(two)})
    assert os.sched_getaffinity(0) == two


def test_a_process_that_cannot_be_freed_is_an_error(two: set[int]) -> None:
    os.sched_setaffinity(0, {min(two)})
    with pytest.raises(Declined):
        settings.unbind({min(two)}, {min(two)})
