"""The comparison: which starts, how much, how sure, how much money, and what is doubtful about it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest
from quickthaw.errors import UsageError
from quickthaw.review import sources
from quickthaw.review.compare import Comparison, compare
from quickthaw.review.ledger import Ledger
from quickthaw.review.prices import Prices, prices

from tests.unit.review.conftest import FELL_BACK, SEED, THAWED, report

Make = Callable[..., Ledger]


def cold(n: int, start: float = 1000.0, **more: object) -> list[str]:
    return [report(duration=50 + i % 7, init=start + i % 11, **more) for i in range(n)]  # type: ignore[arg-type]


def thawed(n: int) -> list[str]:
    return [line for i in range(n) for line in (THAWED, report(duration=50 + i % 7, init=60.0 + i % 5))]


def kinds_of(result: Comparison) -> set[str]:
    return {doubt.kind for doubt in result.doubts}


def test_the_first_logs_give_the_known_answer(tariff: Prices) -> None:
    result = compare(sources.read(str(SEED / "old.log")), sources.read(str(SEED / "new.log")), tariff)
    old, new = result.old.billed_ms, result.new.billed_ms
    assert old is not None and new is not None
    assert (old.n, new.n) == (10, 10)
    assert (old.mean, new.mean) == pytest.approx((615.6, 550.1))
    assert (old.median, new.median) == (628.0, 553.5)
    assert (old.minimum, old.maximum, new.minimum, new.maximum) == (573, 636, 531, 558)
    assert result.overlap is False
    assert result.verdict == "cheaper"
    assert result.rank_test is not None
    assert result.rank_test.greater == 0
    assert result.rank_test.p == pytest.approx(2 / 184_756)
    # 3008 MB: the mean times 2.9375 GB times the price of a GB-second, for a million starts
    assert result.old.cost.usd_per_million == pytest.approx(615.6 * 2.9375 * 1000 * 0.0000166667)
    assert kinds_of(result) == {"too-few-runs", "emulator"}


def test_a_log_compared_with_itself_is_undecided(ledger: Make, tariff: Prices) -> None:
    result = compare(ledger(*cold(50)), ledger(*cold(50)), tariff)
    assert result.verdict == "undecided"
    assert result.billed_ms["mean"].absolute == 0
    assert "overlapping-intervals" in kinds_of(result)


def test_dearer_is_said_as_plainly_as_cheaper(ledger: Make, tariff: Prices) -> None:
    result = compare(ledger(*cold(50)), ledger(*cold(50, start=1200)), tariff)
    assert result.verdict == "dearer"
    assert result.overlap is False
    assert result.usd_per_million is not None and result.usd_per_million > 0


def test_warm_invocations_are_left_out_and_the_doubt_says_so(ledger: Make, tariff: Prices) -> None:
    warm = [report(duration=5.0)] * 200
    result = compare(ledger(*cold(40), *warm), ledger(*thawed(40), *warm), tariff)
    assert result.old.billed_ms is not None and result.old.billed_ms.n == 40
    assert list(result.new.compared) == ["thawed"]
    assert kinds_of(result) == {"warm-starts-mixed-in"}


def test_without_starts_on_one_side_everything_is_compared(ledger: Make, tariff: Prices) -> None:
    result = compare(ledger(*cold(40), report(duration=5.0)), ledger(*[report(duration=6.0)] * 40), tariff)
    assert list(result.old.compared) == ["cold", "warm"]
    assert "warm-starts-mixed-in" in kinds_of(result)
    assert "no-cold-starts" in kinds_of(result)


def test_one_log_can_be_compared_with_itself_by_kind(ledger: Make, tariff: Prices) -> None:
    both = ledger(*cold(40), *thawed(40))
    result = compare(both, both, tariff, old_kinds=["cold"], new_kinds=["thawed"])
    assert result.verdict == "cheaper"
    assert result.old.boot_s["total_s"].median == pytest.approx(0.031)


def test_empty_logs_give_no_figures_and_no_zeros(ledger: Make, tariff: Prices) -> None:
    result = compare(ledger("nothing"), ledger(*cold(40)), tariff)
    assert result.verdict == "undecided"
    assert result.old.billed_ms is None
    assert result.billed_ms == {}
    assert result.rank_test is None and result.overlap is None and result.usd_per_million is None
    assert "nothing-to-compare" in kinds_of(result)


def test_a_missing_bill_is_not_a_bill_of_zero(ledger: Make, tariff: Prices) -> None:
    result = compare(
        ledger(*cold(40), "REPORT RequestId: a\tDuration: 1.00 ms\tInit Duration: 5.00 ms"),
        ledger(*cold(40)),
        tariff,
    )
    assert result.old.billed_ms is not None
    assert result.old.billed_ms.n == 40
    assert result.old.kinds["cold"].n == 41
    assert result.old.billed_ms.minimum > 1000


DOUBTS: dict[str, tuple[list[str], list[str]]] = {
    "too-few-runs": (cold(29), cold(40)),
    "several-memory-sizes": (cold(40) + cold(3, memory=2048), cold(40)),
    "different-memory-sizes": (cold(40), cold(40, memory=2048)),
    "malformed-lines": (cold(40), [*cold(40), "REPORT RequestId: torn\tDuration: 1"]),
    "failures": (cold(40), [*cold(40), report(duration=3000, init=900, more="\tStatus: timeout")]),
    "init-rerun": (
        cold(40),
        [
            *cold(40),
            "INIT_REPORT Init Duration: 9999.79 ms\tPhase: init\tStatus: timeout",
            report(duration=12000),
        ],
    ),
    "fallbacks": (cold(40), [*thawed(40), FELL_BACK, report(duration=50, init=1000)]),
    "noisy": (cold(40), [*cold(40), *cold(40, start=3000)]),
    "outliers": (cold(40), [*cold(300), report(duration=50, init=5300)]),
    "several-functions": (
        cold(40),
        ['{"type":"platform.initStart","record":{"functionName":"' + name + '"}}' for name in "ab"]
        + cold(40),
    ),
    "different-functions": (
        ['{"type":"platform.initStart","record":{"functionName":"a"}}', *cold(40)],
        ['{"type":"platform.initStart","record":{"functionName":"b"}}', *cold(40)],
    ),
    "init-billed-on-one-side": (
        [report(duration=50 + i % 7, init=1000.0, billed=51 + i % 7) for i in range(40)],
        cold(40),
    ),
    "repriced": ([report(duration=50 + i % 7, init=1000.0, billed=51 + i % 7) for i in range(40)], cold(40)),
    "both-thawed": (thawed(40), thawed(40)),
    "thaws-not-told-apart": (cold(40), [*cold(40), THAWED]),
}


@pytest.mark.parametrize("kind", DOUBTS)
def test_the_doubt_is_raised_where_it_belongs(kind: str, ledger: Make, tariff: Prices) -> None:
    old, new = DOUBTS[kind]
    a, b = ledger(*old, name="a"), ledger(*new, name="b")
    if kind == "thaws-not-told-apart":
        b.engines["native"] = 40
    result = compare(a, b, tariff)
    found = [doubt for doubt in result.doubts if doubt.kind == kind]
    assert found
    assert all(doubt.text and doubt.remedy for doubt in found)


def test_two_clean_logs_raise_no_doubt(ledger: Make, tariff: Prices) -> None:
    clean = compare(ledger(*cold(60), name="a"), ledger(*thawed(60), name="b"), tariff)
    assert kinds_of(clean) == set()


def test_an_engine_that_was_switched_off_is_no_fallback(ledger: Make, tariff: Prices) -> None:
    off = '{"quickthaw":1,"engine":"cold","reason":"engine off"}'
    result = compare(ledger(*cold(40)), ledger(off, *cold(40)), tariff)
    assert result.new.fallbacks == {}
    assert result.new.engines == {"cold": 1}


SNAPSTART = [
    report(
        duration=50 + i % 7,
        billed=170 + i % 7,
        more="\tRestore Duration: 560.00 ms\tBilled Restore Duration: 118 ms",
    )
    for i in range(40)
]


def test_snapstart_is_dearer_than_a_thaw_although_it_bills_fewer_milliseconds(
    ledger: Make, tariff: Prices
) -> None:
    slower = [line for i in range(40) for line in (THAWED, report(duration=50 + i % 7, init=140.0))]
    result = compare(ledger(*SNAPSTART, name="s"), ledger(*slower, name="t"), tariff)
    assert result.billed_ms["mean"].absolute > 0
    assert result.verdict == "cheaper"
    # 1 GB restored a million times, and a GB kept for 30 days
    assert result.old.cost.restore_usd_per_million == pytest.approx(139.7998)
    assert result.old.cost.cache_usd_per_month == pytest.approx(0.0000015046 * 30 * 86400)
    assert result.new.cost.restore_usd_per_million == 0


def test_snapstart_is_free_for_java(ledger: Make) -> None:
    java = prices(arch="x86_64", region="us-east-1", day=date(2026, 10, 1), runtime="java")
    result = compare(ledger(*SNAPSTART), ledger(*cold(40)), java)
    assert result.old.cost.restore_usd_per_million == 0


def test_an_unknown_snapstart_price_is_unknown_and_not_free(ledger: Make) -> None:
    elsewhere = prices(arch="x86_64", region="eu-west-3", day=date(2026, 10, 1))
    result = compare(ledger(*SNAPSTART), ledger(*cold(40)), elsewhere)
    assert result.old.cost.restore_usd_per_million is None
    assert result.usd_interval is None
    assert "snapstart-price-unknown" in kinds_of(result)


def test_a_log_from_before_init_was_billed_is_priced_by_the_rule_of_the_day(ledger: Make) -> None:
    before = [report(duration=50.0, init=1000.0, billed=50)] * 40
    free, billed = (
        compare(ledger(*before), ledger(*before), prices(arch="x86_64", region="us-east-1", day=day)).old.cost
        for day in (date(2025, 7, 31), date(2025, 8, 1))
    )
    assert free.basis == "as logged"
    assert free.gb_seconds_per_million == pytest.approx(50_000)
    assert billed.basis == "with init"
    assert billed.gb_seconds_per_million == pytest.approx(1_050_000)


def test_a_log_of_today_can_be_priced_as_before(ledger: Make) -> None:
    earlier = prices(arch="x86_64", region="us-east-1", day=date(2025, 1, 1))
    result = compare(ledger(*[report(duration=50.0, init=1000.0)] * 40), ledger(*cold(40)), earlier)
    assert result.old.cost.basis == "without init"
    assert result.old.cost.gb_seconds_per_million == pytest.approx(50_000)


def test_custom_runtimes_always_paid_for_init() -> None:
    day = date(2025, 1, 1)
    assert not prices(arch="x86_64", region="us-east-1", day=day).init_billed
    assert prices(arch="x86_64", region="us-east-1", day=day, runtime="custom").init_billed


def test_prices_differ_by_architecture_and_region() -> None:
    day = date(2026, 10, 1)
    base = prices(arch="x86_64", region="eu-central-1", day=day).gb_second
    assert prices(arch="arm64", region="eu-central-1", day=day).gb_second == pytest.approx(
        base * 0.8, rel=1e-4
    )
    assert prices(arch="x86_64", region="eu-south-1", day=day).gb_second > base


@pytest.mark.parametrize(("arch", "day"), [("arm64", date(2021, 9, 28)), ("x86_64", date(2020, 11, 30))])
def test_a_day_before_the_table_is_refused(arch: str, day: date) -> None:
    with pytest.raises(UsageError, match="no Lambda price"):
        prices(arch=arch, region="us-east-1", day=day)  # type: ignore[arg-type]
