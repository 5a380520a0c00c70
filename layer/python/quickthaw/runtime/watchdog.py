"""When a thaw is given up: it stands still, or it takes as long as the cold start that it is to save.

Two limits, because one number cannot be right.  A thaw that fails must cost
little (a CRIU that hangs would otherwise eat the whole start); one that works
may need seconds on a slow disk and still be worth them.  So

- `STALL_S` *without progress* ends it, and
- it ends in any case after the cold start's own duration, when it has lost as
  much as it could have won (never more than twice the best, as in the ski-rental
  problem), and early enough for the cold start to fit into Lambda's init limit.

QUICKTHAW_WATCHDOG replaces both by one total in seconds: who sets it has decided.

Progress is what cannot go on in a process that hangs: bytes that our thread
delivered; page faults, bytes read and bytes written of CRIU and of the process.
Processor time is none (CRIU spins in mode `grow` when the pages stop coming).
Neither is its absence a stall: time in which one of them waited *for a
processor* (schedstat's run delay), or in which we ourselves did not come to
look, does not count, and neither does a wait for a disk (state D), which the
cold start would have to wait for as well.  Wall time alone would give up
working thaws on a busy machine.

After-restore hooks are the function's own code, and may wait for a network as
long as they like within the total: `patient` suspends the first limit.
"""

from __future__ import annotations

import posix
import time

from quickthaw import names
from quickthaw.errors import Declined

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

TICK_S = 0.025  # between two looks; a look costs 0.1 ms
STALL_S = 0.25  # without progress
LEAST_S = 1.0  # below, a duration measured elsewhere says little about this machine


def total_s(given: str | None, cold_init_s: float) -> float:
    """Seconds that a thaw may take, hooks included.

    Args:
        given: QUICKTHAW_WATCHDOG, if set.
        cold_init_s: of the manifest.

    Raises:
        Declined: the variable holds no such number.
    """
    if not given:
        return max(LEAST_S, min(cold_init_s, names.INIT_LIMIT_S - cold_init_s))
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= names.WATCHDOG_MOST_S:
        raise Declined(
            f"{names.ENV_WATCHDOG}={given} is no number of seconds up to {names.WATCHDOG_MOST_S:.0f}"
        )
    return seconds


class Watchdog:
    """Of one thaw; `look` as often as `TICK_S`.

    Attributes:
        patient: only the total counts from now on.
        pids: processes to watch; one that does not exist yet, or any more, is no progress.
    """

    def __init__(
        self, started_s: float, *, given: str | None, cold_init_s: float, delivered: Callable[[], int]
    ) -> None:
        """Of a thaw that began at `started_s` (CLOCK_MONOTONIC).

        Args:
            given: as for `total_s`, also the next.
            cold_init_s: of the manifest.
            delivered: bytes of pages that our thread has delivered.

        Raises:
            Declined: see `total_s`.
        """
        self._started_s = started_s
        self._looked_s = time.monotonic()
        self._total_s = total_s(given, cold_init_s)
        self._given = bool(given)
        self._latest_s = started_s + max(LEAST_S, names.INIT_LIMIT_S - cold_init_s)
        self._delivered = delivered
        self._seen: object = None
        self._delays: dict[str, int] = {}
        self._quiet_s = 0.0
        # What the native engine, or its wake, has already taken counts: one total for both.
        self._spent_s = max(0.0, self._looked_s - started_s)
        self.patient = False
        self.pids: list[int] = []

    def look(self, waiting: Iterable[str]) -> None:
        """Notes progress.

        Args:
            waiting: what has not happened yet, for the message.

        Raises:
            Declined: the thaw is given up.
        """
        now_s = time.monotonic()
        elapsed_s, self._looked_s = now_s - self._looked_s, now_s
        for_what = " and ".join(sorted(waiting))
        if self._given:
            if now_s - self._started_s >= self._total_s:
                raise Declined(f"the thaw took longer than {round(self._total_s, 2):g} s (no {for_what})")
            return
        # A frozen sandbox, or a processor that we did not get, is one late look, not seconds of a thaw.
        had_s = max(0.0, min(elapsed_s, 2 * TICK_S) - self._starved_s())
        self._spent_s += had_s
        seen = (self._delivered(), *map(_work, self.pids))
        if seen != self._seen:
            self._seen, self._quiet_s = seen, 0.0
        elif not any(map(_waits_for_disk, self.pids)):
            self._quiet_s += had_s
        if self._spent_s >= self._total_s or now_s >= self._latest_s:
            raise Declined(
                f"the thaw took longer than a cold start's {round(self._total_s, 2):g} s (no {for_what})"
            )
        if self._quiet_s >= STALL_S and not self.patient:
            raise Declined(f"the thaw made no progress for {STALL_S:g} s (no {for_what})")

    def _starved_s(self) -> float:
        """Seconds of a wait for a processor since the last look, of whoever waited longest."""
        worst = 0
        paths = [f"/proc/{pid}/schedstat" for pid in self.pids]
        paths += [f"/proc/self/task/{thread}/schedstat" for thread in posix.listdir("/proc/self/task")]
        for path in paths:
            words = _read(path).split()
            if len(words) == 3:  # empty where the kernel keeps no such account
                delay = int(words[1])
                worst = max(worst, delay - self._delays.get(path, delay))
                self._delays[path] = delay
        return worst / 1e9


def _work(pid: int) -> tuple[bytes, ...]:
    """What a process has done so far: faults (minor, major), and its bytes where we may see them."""
    numbers = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    if len(numbers) < 10:
        return ()
    bytes_done = [line for line in _read(f"/proc/{pid}/io").splitlines() if not line.startswith(b"sysc")]
    return (numbers[7], numbers[9], *bytes_done)  # fields 10 and 12 of proc(5)


def _waits_for_disk(pid: int) -> bool:
    return _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[:1] == [b"D"]


def _read(path: str) -> bytes:
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return posix.read(fd, 4096)
    except OSError:
        return b""
    finally:
        posix.close(fd)
