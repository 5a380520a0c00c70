"""The rank test: could the two groups be one, by chance?

Place in the flow: `compare` asks it about billed durations.

Mann and Whitney's U counts, over all pairs of an old and a new start, how
often the new one is dearer (ties count half).  Divided by the number of pairs
it is the chance that a new start costs more than an old one, the effect size
that the result shows beside p.

Small samples get the exact distribution over all ways to deal the observed
values, ties included, into two groups; larger ones the normal approximation
with tie and continuity correction.  Own code, since scipy is 100 MB for one
function; tests hold it against published values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import comb, erfc, sqrt
from typing import Literal

from .tally import Tally

_EXACT_UP_TO = 40  # values in both groups together; 60 ms at most


@dataclass(frozen=True)
class RankTest:
    """Two-sided Mann-Whitney test.

    Attributes:
        u: pairs in which the new value is greater, ties half.
        p: probability of a split at least this uneven if both groups were the same.
        greater: u over the number of pairs; 0.5 means no difference, 0 every new value is below every old.
        method: how p was computed.
    """

    u: float
    p: float
    greater: float
    method: Literal["exact", "normal"]


def mann_whitney(old: Tally, new: Tally) -> RankTest | None:
    """Compares two groups; None if one is empty."""
    n_old, n_new = old.n, new.n
    if not n_old or not n_new:
        return None
    olds, news = Counter(dict(old.counts())), Counter(dict(new.counts()))
    below, doubled, ties = 0, 0, []
    for value in sorted(olds.keys() | news.keys()):
        a, b = olds[value], news[value]
        doubled += b * (2 * below + a)
        below += a
        ties.append(a + b)
    u = doubled / 2
    n = n_old + n_new
    if n <= _EXACT_UP_TO:
        return RankTest(u, _exact(ties, n_new, doubled, n_old), u / (n_old * n_new), "exact")
    spread = sqrt(n_old * n_new / 12 * (n + 1 - sum(t**3 - t for t in ties) / (n * (n - 1))))
    z = max(0.0, abs(u - n_old * n_new / 2) - 0.5) / spread if spread else 0.0
    return RankTest(u, erfc(z / sqrt(2)), u / (n_old * n_new), "normal")


def _exact(ties: Iterable[int], n_new: int, doubled_u: int, n_old: int) -> float:
    """Share of all deals of the values whose rank sum is as far from the middle as the observed one."""
    # ways[k][s]: ways to give k of the values so far to the new group with doubled mid-ranks summing to s
    ways: list[Counter[int]] = [Counter({0: 1})] + [Counter() for _ in range(n_new)]
    total = 0
    for size in ties:
        rank = 2 * total + size + 1  # twice the mean of the ranks total+1 .. total+size
        total += size
        for k in range(n_new, 0, -1):
            for taken in range(1, min(size, k) + 1):
                factor = comb(size, taken)
                for s, count in ways[k - taken].items():
                    ways[k][s + taken * rank] += count * factor
    observed = doubled_u + n_new * (n_new + 1)
    middle = n_new * (n_old + n_new + 1)
    extreme = sum(count for s, count in ways[n_new].items() if abs(s - middle) >= abs(observed - middle))
    return extreme / comb(n_old + n_new, n_new)
