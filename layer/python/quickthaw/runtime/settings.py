"""Settings that the import changed of its own process, applied again by the wake.

Limits, processors, niceness, timer slack, and being the parent of orphaned
descendants: CRIU gives back some of them, the native restorer none, and both
start from what the new environment has.  So only what differs between the
start of the process and the freeze is remembered: the rest is the
environment's own (the limits of a build machine are not Lambda's).  Rejected:
rows in the native plan, because CRIU lacks processors and slack as well.

A wake may still fail and the same process start cold, with settings that are
the environment's again.  What can be taken back holds before the hooks run
(`renew`) and is taken back then (`put_back`); what no process without
privileges can take back, lowered hard limits and a higher niceness, comes when
nothing can fail any more (`renew_for_good`).

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
_PASSES = 100  # over threads that may start others; one is usual
_REFUSED = "what the import set for its process cannot be set here"


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


class Changes:
    """What the import changed.

    Attributes:
        settings: what is to hold again.
        before: what the new environment had in place of what `renew` has changed.
        tids: ids of the threads after the thaw.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.before = Settings()
        self.tids: list[int] = []


def now() -> Settings:
    """As they are; to be called by the main thread."""
    return Settings(
        limits={which: resource.getrlimit(which) for which in _LIMITS},
        threads=tuple(_of_threads()),
        slack_ns=_slack_ns(),
        reaper=_reaper(),
    )


def remember(start: Settings) -> Changes:
    """What has changed since the start, when all threads were as the main thread."""
    here = now()
    processors, nice = start.threads[0]
    threads = tuple(
        (None if own == processors else own, None if own_nice == nice else own_nice)
        for own, own_nice in here.threads
    )
    return Changes(
        Settings(
            limits={which: value for which, value in here.limits.items() if value != start.limits[which]},
            threads=threads if any(thread != (None, None) for thread in threads) else (),
            slack_ns=None if here.slack_ns == start.slack_ns else here.slack_ns,
            reaper=None if here.reaper == start.reaper else here.reaper,
        )
    )


def renew(changes: Changes) -> None:
    """Makes them hold again, as far as that can be taken back.

    Raises:
        Declined: this environment does not permit it.
    """
    changed = changes.settings
    # Where there are other threads than there were, nobody knows whose settings are whose.
    changes.tids = tids = _threads() if changed.threads else []
    if len(tids) != len(changed.threads):
        raise Declined(f"{len(changed.threads)} threads were frozen, {len(tids)} run")
    changes.before = Settings(
        limits={which: resource.getrlimit(which) for which in changed.limits},
        threads=((os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)),) if tids else (),
        slack_ns=None if changed.slack_ns is None else _slack_ns(),
        reaper=None if changed.reaper is None else _reaper(),
    )
    try:
        for which, (soft, hard) in changed.limits.items():
            here = changes.before.limits[which][1]
            resource.setrlimit(which, (soft, here if _lower(hard, here) else hard))
        for tid, (processors, nice) in zip(tids, changed.threads, strict=True):
            if processors is not None:
                os.sched_setaffinity(tid, processors)
            if nice is not None and nice < os.getpriority(os.PRIO_PROCESS, tid):
                os.setpriority(os.PRIO_PROCESS, tid, nice)
    except (OSError, ValueError) as error:
        raise Declined(f"{_REFUSED}: {error}") from error
    _set(changed)


def renew_for_good(changes: Changes) -> None:
    """The rest, which no process without privileges can take back.

    Raises:
        Declined: this environment does not permit it.
    """
    try:
        for which, (_, hard) in changes.settings.limits.items():
            soft, here = resource.getrlimit(which)  # a hook may have set it
            if _lower(hard, here):
                resource.setrlimit(which, (hard if _lower(hard, soft) else soft, hard))
        for tid, (_, nice) in zip(changes.tids, changes.settings.threads, strict=True):
            with contextlib.suppress(ProcessLookupError):  # ended by a hook
                if nice is not None and nice > os.getpriority(os.PRIO_PROCESS, tid):
                    os.setpriority(os.PRIO_PROCESS, tid, nice)
    except (OSError, ValueError) as error:
        raise Declined(f"{_REFUSED}: {error}") from error


def put_back(changes: Changes) -> str:
    """Takes back what `renew` did, for the thread that starts cold; harmless where it did nothing.

    Returns:
        Why some of it stays, which keeps nothing else from going back; empty where all did.
    """
    before, changes.before = changes.before, Settings()
    stays = ""
    for which, (soft, hard) in before.limits.items():
        here = resource.getrlimit(which)[1]
        try:
            resource.setrlimit(which, (soft, hard))
        except (OSError, ValueError) as error:
            stays = str(error)
            resource.setrlimit(which, (here if _lower(here, soft) else soft, here))
    for processors, nice in before.threads:
        try:
            os.sched_setaffinity(0, processors or ())
            if nice is not None and os.getpriority(os.PRIO_PROCESS, 0) < nice:
                os.setpriority(os.PRIO_PROCESS, 0, nice)
        except OSError as error:
            stays = str(error)
    _set(before)
    return stays


def unbind(bound: set[int], processors: set[int]) -> None:
    """Gives each thread that CRIU's processors came down to what the environment has (`placement`).

    Again and again until none is left: the function's other threads run already, and may end or start more.

    Args:
        bound: what CRIU was bound to; empty: to nothing.
        processors: what the function is to have.

    Raises:
        Declined: some stay on less.
        OSError: it is not permitted.
    """
    for _ in range(_PASSES if bound else 0):
        found = False
        for tid in _threads():
            with contextlib.suppress(ProcessLookupError):
                if os.sched_getaffinity(tid) == bound:
                    os.sched_setaffinity(tid, processors)
                    found = True
        if not found:
            return
    if bound:
        raise Declined("threads cannot leave the processor that CRIU was bound to")


def _set(settings: Settings) -> None:
    if settings.slack_ns is not None:
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, settings.slack_ns, 0, 0, 0)
    if settings.reaper is not None:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, settings.reaper, 0, 0, 0)


def _slack_ns() -> int:
    return int(ctypes.CDLL(None).prctl(_PR_GET_TIMERSLACK, 0, 0, 0, 0))


def _reaper() -> int:
    reaper = ctypes.c_int()
    ctypes.CDLL(None).prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(reaper), 0, 0, 0)
    return reaper.value


def _lower(one: int, other: int) -> bool:
    """Of two limits."""
    return one != resource.RLIM_INFINITY and (other == resource.RLIM_INFINITY or one < other)


def _of_threads() -> Iterator[tuple[set[int], int]]:
    for tid in _threads():
        with contextlib.suppress(ProcessLookupError):  # it has ended since the list was made
            yield os.sched_getaffinity(tid), os.getpriority(os.PRIO_PROCESS, tid)


def _threads() -> list[int]:
    return sorted(map(int, os.listdir("/proc/self/task")))
