"""What was won: pairs of arms, before and after, with the seed's own pair beside them.

The record behind the last table and the last lines of a bench; computed once,
rendered by `table` and drawn by `plot`.
"""

from __future__ import annotations

from dataclasses import dataclass

from quickthaw.bench import seed
from quickthaw.bench.arms import ARMS, COLD
from quickthaw.bench.record import Bench


@dataclass(frozen=True, kw_only=True)
class Gain:
    """Billed durations before and after a change, ms.

    Attributes:
        label: which change.
        theirs: it is the seed's, measured elsewhere on something else.
    """

    label: str
    before_ms: float
    after_ms: float
    theirs: bool = False

    @property
    def won(self) -> float:
        """The part of the bill that is gone (0 to 1; negative if it grew)."""
        return 1 - self.after_ms / self.before_ms


SEED = Gain(
    label=f"{seed.SOURCE}, its own lines", before_ms=seed.OLD_MEAN_MS, after_ms=seed.NEW_MEAN_MS, theirs=True
)

_PAIRS = (
    ("criu-sync", "criu-async"),  # the seed's change, on an unmodified CRIU
    ("criu-sync", "criu-grow"),
    ("cold", "criu-grow"),
    ("cold", "native-lz4"),
    ("cold", "native-hot"),
)


def gains(bench: Bench) -> tuple[Gain, ...]:
    """Return the seed's gain and ours, of those pairs whose arms were both measured."""
    found = [SEED]
    for old, new in _PAIRS:
        before, after = bench.median(old, "billed_ms"), bench.median(new, "billed_ms")
        if before and after:
            found.append(Gain(label=f"{old} → {new}", before_ms=before, after_ms=after))
    return tuple(found)


def fastest(bench: Bench) -> str | None:
    """Return the arm with the shortest first response, None if nothing but the cold start was measured."""
    measured = {arm.name: bench.median(arm.name, "first_response_s") for arm in ARMS if arm is not COLD}
    times = {name: value for name, value in measured.items() if value is not None}
    return min(times, key=lambda name: times[name]) if times else None


def times_faster(bench: Bench, name: str) -> float | None:
    """Return how many times faster than the cold start an arm's first response is, None if unknown."""
    cold, arm = bench.median(COLD.name, "first_response_s"), bench.median(name, "first_response_s")
    return cold / arm if cold and arm else None
