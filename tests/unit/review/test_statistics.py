"""Tallies, rank test and intervals against plain lists, brute force and published values."""

from __future__ import annotations

import statistics
from itertools import combinations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quickthaw.review.rank import mann_whitney
from quickthaw.review.resample import resample
from quickthaw.review.tally import Tally

OLD = [634, 636, 636, 622, 635, 591, 597, 573, 597, 635]
NEW = [540, 547, 531, 557, 558, 550, 556, 555, 554, 553]
values = st.lists(st.integers(0, 500).map(float), min_size=1, max_size=60)


@given(values)
def test_a_tally_knows_what_the_list_of_its_numbers_knows(numbers: list[float]) -> None:
    tally = Tally(numbers)
    assert tally.n == len(numbers)
    assert tally.mean == pytest.approx(statistics.fmean(numbers))
    assert (tally.minimum, tally.maximum) == (min(numbers), max(numbers))
    assert tally.quantile(0.5) == pytest.approx(statistics.median(numbers))
    if len(numbers) > 1:
        assert tally.deviation == pytest.approx(statistics.stdev(numbers), abs=1e-9)
        cuts = statistics.quantiles(numbers, n=100, method="inclusive")
        assert tally.quantile(0.9) == pytest.approx(cuts[89])
        assert tally.quantile(0.99) == pytest.approx(cuts[98])


@given(values, values)
def test_merging_is_adding(first: list[float], second: list[float]) -> None:
    merged = Tally(first)
    merged.merge(Tally(second))
    both = Tally(first + second)
    assert merged.counts() == both.counts()
    assert merged.mean == pytest.approx(both.mean)
    if both.n > 1:
        assert merged.deviation == pytest.approx(both.deviation, abs=1e-9)


def test_a_histogram_is_added_as_its_numbers_would_be() -> None:
    tally = Tally()
    tally.add_many(3.0, 4)
    tally.add_many(5.0, 1)
    tally.add_many(9.0, 0)
    assert tally.counts() == Tally([3, 3, 3, 3, 5]).counts()
    assert tally.deviation == pytest.approx(Tally([3, 3, 3, 3, 5]).deviation)


def test_too_many_distinct_numbers_are_rounded_and_the_moments_stay_exact() -> None:
    rng = Random(1)
    numbers = [round(rng.lognormvariate(5, 1), 2) for _ in range(30_000)]
    tally = Tally(numbers, limit=1000)
    assert tally.resolution is not None
    assert len(tally.counts()) <= 1000
    assert tally.mean == pytest.approx(statistics.fmean(numbers))
    assert tally.deviation == pytest.approx(statistics.stdev(numbers))
    assert (tally.minimum, tally.maximum) == (min(numbers), max(numbers))
    for q in (0.5, 0.9):
        assert abs(tally.quantile(q) - Tally(numbers, limit=10**6).quantile(q)) <= tally.resolution


def test_a_coarse_tally_can_be_merged_into_a_fine_one() -> None:
    coarse = Tally([i / 100 for i in range(5000)], limit=100)
    fine = Tally([1.23])
    fine.merge(coarse)
    assert fine.n == 5001
    assert fine.resolution == coarse.resolution


def by_brute_force(old: list[int], new: list[int]) -> float:
    """The exact p value: every way to deal the values into two groups."""

    def u(chosen: list[int], rest: list[int]) -> float:
        return sum((b > a) + (b == a) / 2 for b in chosen for a in rest)

    pooled = old + new
    middle = len(old) * len(new) / 2
    observed = abs(u(new, old) - middle)
    hits = total = 0
    for picked in combinations(range(len(pooled)), len(new)):
        chosen = [pooled[i] for i in picked]
        rest = [pooled[i] for i in range(len(pooled)) if i not in picked]
        total += 1
        hits += abs(u(chosen, rest) - middle) >= observed
    return hits / total


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=5), st.lists(st.integers(0, 6), min_size=1, max_size=5)
)
def test_the_exact_rank_test_agrees_with_brute_force_even_with_ties(old: list[int], new: list[int]) -> None:
    found = mann_whitney(Tally(old), Tally(new))
    assert found is not None
    assert found.method == "exact"
    assert found.p == pytest.approx(by_brute_force(old, new))


def test_the_rank_test_gives_published_values() -> None:
    # Mann and Whitney's table: two groups of ten without overlap, p = 2 / C(20, 10)
    found = mann_whitney(Tally(list(range(10))), Tally(list(range(10, 20))))
    assert found is not None
    assert (found.u, found.greater) == (100, 1)
    assert found.p == pytest.approx(2 / 184_756)
    # Siegel and Castellan's table I: m = n = 4, U = 1 has a one-sided p of 0.029 (2 / 70)
    found = mann_whitney(Tally([1, 2, 3, 5]), Tally([4, 6, 7, 8]))
    assert found is not None
    assert found.p == pytest.approx(2 * 2 / 70)


def test_the_normal_approximation_with_ties_agrees_with_scipy() -> None:
    # scipy.stats.mannwhitneyu(new, old, method="asymptotic"), 1.17.1
    rng = Random(1)
    old, new = [rng.randint(1, 30) for _ in range(20)], [rng.randint(1, 40) for _ in range(20)]
    found = mann_whitney(Tally(old * 3 + [50] * 7), Tally(new))
    assert found is not None
    assert found.method == "normal"
    assert found.u == 657
    assert found.p == pytest.approx(0.8994539387483411, rel=1e-12)


def test_a_rank_test_of_one_value_everywhere_finds_nothing() -> None:
    found = mann_whitney(Tally([5.0] * 50), Tally([5.0] * 50))
    assert found is not None
    assert found.p == 1
    assert found.greater == 0.5


def test_without_values_there_is_no_rank_test() -> None:
    assert mann_whitney(Tally(), Tally([1])) is None


@pytest.mark.parametrize("quantile", [None, 0.5, 0.9])
def test_an_interval_covers_the_truth_about_as_often_as_it_says(quantile: float | None) -> None:
    rng, hits, runs = Random(5), 0, 100
    for _ in range(runs):
        old = Tally([rng.gauss(600, 30) for _ in range(40)])
        new = Tally([rng.gauss(540, 30) for _ in range(40)])
        drawn = resample(old, new, quantile, draws=300)
        assert drawn is not None
        difference = drawn.difference()
        hits += difference.low <= -60 <= difference.high
    # 95 % nominal; three standard errors of 100 runs are 6.5 %, and small samples cover a little less
    assert hits / runs > 0.85


def test_a_resampled_quantile_is_the_one_that_drawing_all_values_gives() -> None:
    old, new = Tally(OLD), Tally(NEW)
    found = resample(old, new, 0.5, draws=4000)
    rng = Random(2)
    drawn = sorted(
        statistics.median(rng.choices(NEW, k=10)) - statistics.median(rng.choices(OLD, k=10))
        for _ in range(4000)
    )
    assert found is not None
    difference, ratio = found.difference(), found.ratio()
    assert ratio is not None
    assert difference.low == pytest.approx(drawn[100], abs=2)
    assert difference.high == pytest.approx(drawn[3900], abs=2)
    assert 0 < ratio.low < ratio.high < 1


def test_large_samples_take_the_normal_limit_and_give_the_same() -> None:
    rng = Random(3)
    old, new = [rng.gauss(600, 30) for _ in range(201)], [rng.gauss(595, 30) for _ in range(201)]
    means = resample(Tally(old), Tally(new), None)
    drawn = sorted(
        statistics.fmean(rng.choices(new, k=201)) - statistics.fmean(rng.choices(old, k=201))
        for _ in range(2000)
    )
    assert means is not None
    found = means.difference()
    assert found.low == pytest.approx(drawn[50], abs=0.6)
    assert found.high == pytest.approx(drawn[1950], abs=0.6)


def test_the_same_logs_give_the_same_interval() -> None:
    assert resample(Tally(OLD), Tally(NEW), None) == resample(Tally(OLD), Tally(NEW), None)


def test_one_value_has_no_interval() -> None:
    assert resample(Tally([1]), Tally(NEW), None) is None


def test_a_median_of_zero_has_no_ratio() -> None:
    found = resample(Tally([0, 0, 0, 1]), Tally(NEW), 0.5)
    assert found is not None
    assert found.ratio() is None


def test_money_is_the_difference_times_the_price_and_what_comes_on_top() -> None:
    found = resample(Tally(OLD), Tally(NEW), None)
    assert found is not None
    difference, dollars = found.difference(), found.money((2.0, 10.0), (2.0, 15.0))
    assert dollars.low == pytest.approx(2 * difference.low + 5)
    assert dollars.high == pytest.approx(2 * difference.high + 5)
