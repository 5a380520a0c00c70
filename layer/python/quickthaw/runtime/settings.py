"""Settings that the import changed of its own process, applied again after the thaw.

Limits, processors, niceness, timer slack, and being the parent of orphaned
descendants: CRIU gives back some of them, the native restorer none, and both
start from what the new environment has.  So only what differs between the
start of the process and the freeze is remembered: the rest is the
environment's own (the limits of a build machine are not Lambda's).  Rejected:
rows in the native plan, because CRIU lacks processors and slack as well.

Threads are told apart by their order: both engines make them in the order of
their ids, and ids grow.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass, field

from quickthaw.errors import Declined

_PR_SET_TIMERSLACK, _PR_GET_TIMERSLACK = 29, 30  # linux/prctl.h
_PR_SET_CHILD_SUBREAPER, _PR_GET_CHILD_SUBREAPER = 36, 37
_LIMITS = tuple(sorted({getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Of the process, or what differs.

    Attributes:
        limits: soft and hard, by resource.
        threads: processors and niceness of each thread, in the order of their ids; None for "as it comes".
        slack_ns: of the main thread's timers.
        reaper: whether orphaned descendants become its children.
    """

    limits: dict[int, tuple[int, int]] = field(default_factory=dict)
    threads: tuple[tuple[set[int] | None, int | None], ...] = ()
    slack_ns: int | None = None
    reaper: int | None = None


def now() -> Settings:
    """As they are; to be called by the main thread."""
    libc = ctypes.CDLL(None)
    reaper = ctypes.c_int()
    libc.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(reaper), 0, 0, 0)
    return Settings(
        limits={which: resource.getrlimit(which) for which in _LIMITS},
        threads=tuple(_of_threads()),
        slack_ns=libc.prctl(_PR_GET_TIMERSLACK, 0, 0, 0, 0),
        reaper=reaper.value,
    )


def since(start: Settings) -> Settings:
    """What has changed since the start, when all threads were as the main thread."""
    here = now()
    processors, nice = start.threads[0]
    threads = tuple(
        (None if own == processors else own, None if own_nice == nice else own_nice)
        for own, own_nice in here.threads
    )
    return Settings(
        limits={which: value for which, value in here.limits.items() if value != start.limits[which]},
        threads=threads if any(thread != (None, None) for thread in threads) else (),
        slack_ns=None if here.slack_ns == start.slack_ns else here.slack_ns,
        reaper=None if here.reaper == start.reaper else here.reaper,
    )


def apply(changed: Settings) -> None:
    """Makes them hold again.

    Raises:
        Declined: this environment does not permit it.
    """
    try:
        for which, (soft, hard) in changed.limits.items():
            resource.setrlimit(which, (soft, hard))
        # Where there are other threads than there were, nobody knows whose settings are whose.
        tids = _threads() if changed.threads else []
        if len(tids) != len(changed.threads):
            raise Declined(f"{len(changed.threads)} threads were frozen, {len(tids)} run")
        for tid, (processors, nice) in zip(tids, changed.threads, strict=True):
            if processors is not None:
                os.sched_setaffinity(tid, processors)
            if nice is not None and os.getpriority(os.PRIO_PROCESS, tid) != nice:
                os.setpriority(os.PRIO_PROCESS, tid, nice)
    except (OSError, ValueError) as error:
        raise Declined(f"what the import set for its process cannot be set here: {error}") from error
    if changed.slack_ns is not None:
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, changed.slack_ns, 0, 0, 0)
    if changed.reaper is not None:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, changed.reaper, 0, 0, 0)


def _of_threads() -> Iterator[tuple[set[int], int]]:
    for tid in _threads():
        with contextlib.suppress(ProcessLookupError):  # it has ended since the list was made
            yield os.sched_getaffinity(tid), os.getpriority(os.PRIO_PROCESS, tid)


def _threads() -> list[int]:
    return sorted(map(int, os.listdir("/proc/self/task")))
