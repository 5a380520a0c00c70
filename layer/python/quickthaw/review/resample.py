"""Bootstrap confidence intervals for a difference and a ratio of two groups.

Place in the flow: `compare` asks for the interval of each figure it shows.

The bootstrap draws both groups anew, with replacement, computes the figure of
each draw and takes the middle 95 % of the results (percentile method; Efron
and Tibshirani 1993, chapter 13).  It assumes nothing about the shape of the
distribution, and start times have a long right tail.

Drawing n values for each of thousands of resamples is not needed:

- The k-th smallest of n uniform numbers is Beta(k, n+1-k) distributed, and the
  k-th smallest of a resample is the log's value at that quantile.  So a
  resampled quantile costs one draw, exact for any n.  Its neighbour, needed
  where the quantile lies between two values, is drawn given the first.
- A resampled mean of more than two hundred values is normal to well below the
  width of the interval; below that the values are drawn.

So five million starts cost as much as five hundred, without numpy, which the
scheduled function on Lambda does not carry.  The seed is fixed: the same logs
give the same interval.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, floor, fsum, sqrt
from random import Random

from .tally import Tally

DRAWS = 4000
LEVEL = 0.95
_NORMAL_FROM = 200
_SEED = 20250801


@dataclass(frozen=True)
class Interval:
    """Low and high end of what the data allow, at `LEVEL`."""

    low: float
    high: float


@dataclass(frozen=True)
class Draws:
    """One figure of both groups, once per resample."""

    olds: list[float]
    news: list[float]

    def difference(self) -> Interval:
        """Of new - old."""
        return _middle([new - old for old, new in self._pairs()])

    def ratio(self) -> Interval | None:
        """Of new / old; None where a resampled old figure is 0."""
        return _middle([new / old for old, new in self._pairs()]) if min(self.olds) > 0 else None

    def money(self, old: tuple[float, float], new: tuple[float, float]) -> Interval:
        """Of the new side's dollars less the old one's; a price is (dollars per ms, dollars on top)."""
        return _middle([b * new[0] + new[1] - (a * old[0] + old[1]) for a, b in self._pairs()])

    def _pairs(self) -> Iterator[tuple[float, float]]:
        return zip(self.olds, self.news, strict=True)


def resample(old: Tally, new: Tally, quantile: float | None, *, draws: int = DRAWS) -> Draws | None:
    """Draws both groups again and again.

    Args:
        old, new: the two groups.
        quantile: which figure: 0.5 for the median and so on, None for the mean.
        draws: number of resamples.

    Returns:
        None where a group has fewer than two values.
    """
    if old.n < 2 or new.n < 2:
        return None
    rng = Random(_SEED)
    if quantile is None:
        return Draws(_means(old, draws, rng), _means(new, draws, rng))
    return Draws(_quantiles(old, quantile, draws, rng), _quantiles(new, quantile, draws, rng))


def _means(tally: Tally, draws: int, rng: Random) -> list[float]:
    n = tally.n
    if n > _NORMAL_FROM:
        width = (tally.deviation or 0.0) / sqrt(n)
        return [rng.gauss(tally.mean, width) for _ in range(draws)]
    values, cumulative = tally.ordered()
    return [fsum(rng.choices(values, cum_weights=cumulative, k=n)) / n for _ in range(draws)]


def _quantiles(tally: Tally, quantile: float, draws: int, rng: Random) -> list[float]:
    n = tally.n
    position = (n - 1) * quantile
    k = floor(position) + 1
    part = position - floor(position)
    results = []
    for _ in range(draws):
        u = rng.betavariate(k, n + 1 - k)
        low = tally.at(max(1, ceil(u * n)))
        if part == 0:
            results.append(low)
            continue
        u += (1 - u) * rng.betavariate(1, n - k)
        results.append(low + part * (tally.at(min(n, max(1, ceil(u * n)))) - low))
    return results


def _middle(results: list[float]) -> Interval:
    spread = Tally(results, limit=len(results) + 1)
    tail = (1 - LEVEL) / 2
    return Interval(spread.quantile(tail), spread.quantile(1 - tail))
