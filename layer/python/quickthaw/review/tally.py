"""Numbers added up in constant memory: how often each value occurred.

Place in the flow: the `ledger` keeps one per measured quantity and start
kind; `resample`, `rank` and `compare` work on the counts, never on a list of
samples.

Why counts: billed milliseconds are whole numbers, so five million starts are
a few thousand distinct values, and mean, quantiles, rank test and bootstrap of
the counts are exact.  Durations have two decimals; when more than `LIMIT`
distinct values have been seen they are rounded to 0.1 ms, then 1 ms, 10 ms and
so on, and `resolution` says so.  Count, mean, spread, minimum and maximum stay
exact all the same.

Rejected: keeping the samples in an `array('d')`, 8 bytes each and unbounded;
a reservoir, which makes two runs over the same log differ; a t-digest, whose
error is hard to put into words.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from math import floor, fsum, inf, sqrt

LIMIT = 1 << 15  # distinct values, about 3 MB
_BUFFER = 1 << 13


class Tally:
    """A multiset of numbers with bounded memory.

    Attributes:
        resolution: width in ms of a value's cell once rounding began; None while exact.
    """

    def __init__(self, values: Sequence[float] = (), *, limit: int = LIMIT) -> None:
        self.resolution: float | None = None
        self._limit = limit
        self._digits = 2
        self._counts: Counter[float] = Counter()
        self._buffer: list[float] = []
        self._n = 0
        self._mean = 0.0
        self._squares = 0.0  # sum of squared distances from the mean
        self._min, self._max = inf, -inf
        self._ordered: tuple[list[float], list[int]] | None = None
        for value in values:
            self.add(value)

    def add(self, value: float) -> None:
        """Adds one number."""
        self._buffer.append(value)
        if len(self._buffer) >= _BUFFER:
            self._flush()

    def add_many(self, value: float, count: int) -> None:
        """Adds the same number `count` times, as a histogram made elsewhere gives it."""
        self._flush()
        if count > 0:
            self._merge_moments(count, value, 0.0)
            self._min, self._max = min(self._min, value), max(self._max, value)
            self._counts[round(value, self._digits) if self.resolution else value] += count
            self._coarsen()

    def merge(self, other: Tally) -> None:
        """Adds all numbers of `other`."""
        self._flush()
        other._flush()
        if not other._n:
            return
        self._merge_moments(other._n, other._mean, other._squares)
        self._min, self._max = min(self._min, other._min), max(self._max, other._max)
        if other._digits < self._digits:
            self._round_to(other._digits)
        for value, count in other._counts.items():
            self._counts[round(value, self._digits) if self.resolution else value] += count
        self._coarsen()

    @property
    def n(self) -> int:
        self._flush()
        return self._n

    @property
    def mean(self) -> float:
        self._flush()
        return self._mean

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation; None below two numbers."""
        self._flush()
        return sqrt(self._squares / (self._n - 1)) if self._n > 1 else None

    @property
    def minimum(self) -> float:
        self._flush()
        return self._min

    @property
    def maximum(self) -> float:
        self._flush()
        return self._max

    def ordered(self) -> tuple[list[float], list[int]]:
        """The distinct values in order, and for each how many numbers are at or below it."""
        self._flush()
        if self._ordered is None:
            values = sorted(self._counts)
            self._ordered = values, list(accumulate(self._counts[value] for value in values))
        return self._ordered

    def counts(self) -> list[tuple[float, int]]:
        """(value, count) in order of value."""
        self._flush()
        return sorted(self._counts.items())

    def at(self, rank: int) -> float:
        """The `rank`-th smallest number, counted from 1."""
        values, cumulative = self.ordered()
        return values[bisect_left(cumulative, rank)]

    def quantile(self, q: float) -> float:
        """Linear between order statistics (Hyndman and Fan's type 7, numpy's and Excel's default)."""
        position = (self.n - 1) * q
        below = floor(position)
        low = self.at(below + 1)
        part = position - below
        return low if part == 0 else low + part * (self.at(below + 2) - low)

    def _flush(self) -> None:
        buffer = self._buffer
        if not buffer:
            return
        n = len(buffer)
        mean = fsum(buffer) / n
        self._merge_moments(n, mean, fsum([(value - mean) ** 2 for value in buffer]))
        self._min, self._max = min(self._min, min(buffer)), max(self._max, max(buffer))
        self._counts.update(
            buffer if self.resolution is None else [round(value, self._digits) for value in buffer]
        )
        buffer.clear()
        self._coarsen()

    def _merge_moments(self, n: int, mean: float, squares: float) -> None:
        """Chan, Golub and LeVeque's update: exact enough for millions, unlike a running sum of squares."""
        total = self._n + n
        delta = mean - self._mean
        self._squares += squares + delta * delta * self._n * n / total
        self._mean += delta * n / total
        self._n = total
        self._ordered = None

    def _coarsen(self) -> None:
        while len(self._counts) > self._limit:
            self._round_to(self._digits - 1)

    def _round_to(self, digits: int) -> None:
        self._digits = digits
        self.resolution = 10.0**-digits
        rounded: Counter[float] = Counter()
        for value, count in self._counts.items():
            rounded[round(value, digits)] += count
        self._counts = rounded
        self._ordered = None
