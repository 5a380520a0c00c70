"""Many environments at once, each thawing the same snapshot again and again: does every thaw succeed?

What a burst of requests does on Lambda: a snapshot is thawed by environments
that know nothing of each other, from the same files.  `at_once` threads each
run `rounds` environments in a row; an arm after the other.

Memory is looked at while all of a first round are alive and have answered (they
wait for each other): the proportional set size (Pss, proc(5)) counts a page
that n processes share as 1/n for each, so the difference between one
environment alone and one of n is what the page cache gives to all of them.
"""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from quickthaw.bench.arms import COLD, Arm
from quickthaw.bench.run import Order, function_spec, function_task, why_not
from quickthaw.emulator.run import run_environment
from quickthaw.errors import FunctionFailed
from quickthaw.sandbox import procfs
from quickthaw.snapshot import manifest

FILE = "crowd.json"
_MEETING_S = 120.0  # for all of a round to have answered; then those that are there are enough


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Of one environment's processes, in MiB (proc(5), smaps_rollup): Rss, Pss, Pss_Anon."""

    rss_mb: float
    pss_mb: float
    anonymous_mb: float


@dataclass(frozen=True, kw_only=True)
class CrowdResult:
    """One arm.

    Attributes:
        thaws: environments that were started.
        problems: one text for each that does not count.
        first_response_s: of those that count.
        alone: memory of one environment, without others.
        together: the mean of all while all were alive; None where they did not all get there.
        took_s: of the arm as a whole.
    """

    arm: str
    at_once: int
    thaws: int
    problems: tuple[str, ...]
    first_response_s: tuple[float, ...]
    alone: Memory | None
    together: Memory | None
    took_s: float


OnThaw = Callable[[str, int, int, int], None]


def crowd(
    order: Order, *, at_once: int, on_thaw: OnThaw = lambda _arm, _done, _all, _bad: None
) -> list[CrowdResult]:
    """Run every arm of an order, `order.runs` environments in a row in each of `at_once` threads.

    Args:
        on_thaw: called after each environment with the arm, how many are done, of how many, and how
            many of them do not count.

    Raises:
        FunctionFailed: the reference cold start did not answer.
    """
    found = manifest.read(str(order.snapshot))
    task = function_task(order.snapshot, order.task)
    events = [text for _, text in order.events]
    reference = run_environment(function_spec(order, COLD, task=task, handler=found.handler), events)
    if reference.errors:
        raise FunctionFailed(
            f"the reference cold start did not answer: {json.dumps(reference.errors[0])}",
            hint="try it with `quickthaw invoke --cold`",
        )
    results: list[CrowdResult] = []
    for arm in order.arms:
        running = _Arm(order, arm, task, found.handler, events, reference.answers, on_thaw)
        results.append(running.go(at_once))
        order.out.mkdir(parents=True, exist_ok=True)
        # After each arm, so that a later failure loses nothing.
        (order.out / FILE).write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")
    return results


class _Arm:
    def __init__(
        self, order: Order, arm: Arm, task: Path, handler: str, events: Sequence[bytes],
        reference: Sequence[object], on_thaw: OnThaw,
    ) -> None:  # fmt: skip
        self.arm = arm
        self.rounds = order.runs
        self.spec = function_spec(order, arm, task=task, handler=handler)
        self.events = events
        self.reference = reference
        self.on_thaw = on_thaw
        self.lock = threading.Lock()
        self.total = 0
        self.done = 0
        self.problems: list[str] = []
        self.times: list[float] = []

    def go(self, at_once: int) -> CrowdResult:
        """One alone, then all."""
        begin = time.monotonic()
        self.total = 1 + at_once * self.rounds
        alone: list[Memory] = []
        self._one(_Meeting(1, alone))
        together: list[Memory] = []
        meeting = _Meeting(at_once, together)
        with ThreadPoolExecutor(max_workers=at_once) as pool:
            for future in [pool.submit(self._row, meeting) for _ in range(at_once)]:
                future.result()
        return CrowdResult(
            arm=self.arm.name,
            at_once=at_once,
            thaws=self.done,
            problems=tuple(self.problems),
            first_response_s=tuple(self.times),
            alone=_mean(alone),
            together=_mean(together) if len(together) == at_once else None,
            took_s=time.monotonic() - begin,
        )

    def _row(self, meeting: _Meeting) -> None:
        self._one(meeting)
        for _ in range(self.rounds - 1):
            self._one(None)

    def _one(self, meeting: _Meeting | None) -> None:
        pids: list[int] = []

        def on_line(line: str) -> None:
            if meeting is not None and line.startswith("END") and pids:
                meeting.look(pids.pop())

        spec = replace(self.spec, before_exec=pids.append)
        run = run_environment(spec, self.events, on_line=on_line)
        if meeting is not None and pids:
            meeting.give_up()  # it never answered: the others must not wait for it
        problem = why_not(self.arm, run, self.reference)
        with self.lock:
            self.done += 1
            if problem is None and run.first_response_s is not None:
                self.times.append(run.first_response_s)
            if problem is not None:
                self.problems.append(problem)
            self.on_thaw(self.arm.name, self.done, self.total, len(self.problems))


class _Meeting:
    """Environments wait until all have answered, are looked at, and go on together."""

    def __init__(self, count: int, found: list[Memory]) -> None:
        self._barrier = threading.Barrier(count)
        self._found = found

    def look(self, pid: int) -> None:
        """Called in the thread of an environment that has answered; `pid` is its first process."""
        try:
            self._barrier.wait(_MEETING_S)
            memory = memory_of([pid, *procfs.descendants(pid)])
            if memory is not None:
                self._found.append(memory)
            self._barrier.wait(_MEETING_S)
        except threading.BrokenBarrierError:
            return  # one of them failed, and is reported; no figure then

    def give_up(self) -> None:
        """Nobody waits any more."""
        self._barrier.abort()


def memory_of(pids: Sequence[int]) -> Memory | None:
    """Return the memory of these processes together; None when one is gone or may not be looked at."""
    sums = dict.fromkeys(("Rss", "Pss", "Pss_Anon"), 0)
    try:
        for pid in pids:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
                name, _, value = line.partition(":")
                if name in sums:
                    sums[name] += int(value.split()[0])
    except OSError:
        return None
    return Memory(
        rss_mb=round(sums["Rss"] / 1024, 1),
        pss_mb=round(sums["Pss"] / 1024, 1),
        anonymous_mb=round(sums["Pss_Anon"] / 1024, 1),
    )


def _mean(found: Sequence[Memory]) -> Memory | None:
    if not found:
        return None
    return Memory(
        rss_mb=round(statistics.mean(memory.rss_mb for memory in found), 1),
        pss_mb=round(statistics.mean(memory.pss_mb for memory in found), 1),
        anonymous_mb=round(statistics.mean(memory.anonymous_mb for memory in found), 1),
    )
