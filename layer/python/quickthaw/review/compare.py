"""The comparison: two ledgers in, one typed record out.

Place in the flow: after all counting, before all rendering.  Every renderer
shows this record and computes nothing.

What is compared: starts (cold, thawed, SnapStart-restored), because that is
what a snapshot changes; warm invocations are left out and a doubt says so.
Only where one side has no starts at all are all invocations compared.

The verdict rests on the mean, since the bill is a sum: an interval of the
difference that leaves out 0.  It is the interval of the dollars where they can
be told, because SnapStart bills few milliseconds and a restore charge on top,
and because memory sizes differ; else of the billed milliseconds.  The rank
test and the median stand beside it for those who care about the typical start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from .ledger import Account, Ledger
from .prices import MONTH_S, Prices
from .rank import RankTest, mann_whitney
from .resample import Draws, Interval, resample
from .scan import KINDS, Kind, Problem
from .tally import Tally

STARTS: tuple[Kind, ...] = ("cold", "thawed", "restored")
Basis = Literal["as logged", "with init", "without init"]
Verdict = Literal["cheaper", "dearer", "undecided"]
FIGURES: Mapping[str, float | None] = {"mean": None, "median": 0.5, "p90": 0.9, "p99": 0.99}


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Figures of one quantity; ms for durations, MB for memory.

    Attributes:
        deviation: sample standard deviation, None below two values.
        resolution: width of a cell when the values had to be rounded, else None; concerns
            median and percentiles only.
    """

    n: int
    mean: float
    median: float
    p90: float
    p99: float
    minimum: float
    maximum: float
    deviation: float | None
    resolution: float | None


@dataclass(frozen=True, kw_only=True)
class KindSummary:
    """One kind of start; a quantity that no record had is None."""

    n: int
    billed_ms: Summary | None
    duration_ms: Summary | None
    init_ms: Summary | None
    restore_ms: Summary | None
    billed_restore_ms: Summary | None
    max_memory_mb: Summary | None


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Money of the compared starts; None where the log does not give what it takes.

    Attributes:
        basis: which reading of the records was priced.
        gb_seconds_per_million: billed GB-seconds of a million such starts.
        usd_per_million: their price, SnapStart's restore charge included.
        restore_usd_per_million: that charge alone.
        cache_usd_per_month: SnapStart's charge for keeping one published version for 30 days.
    """

    basis: Basis
    gb_seconds_per_million: float | None
    usd_per_million: float | None
    restore_usd_per_million: float | None
    cache_usd_per_month: float | None


@dataclass(frozen=True, kw_only=True)
class Group:
    """One side: what was compared of it, and what else the log held."""

    name: str
    lines: int
    records: int
    malformed: int
    problems: Sequence[Problem]
    functions: Sequence[str]
    compared: Sequence[Kind]
    billed_ms: Summary | None
    distribution: Tally
    memory_mb: Sequence[float]
    kinds: Mapping[Kind, KindSummary]
    engines: Mapping[str, int]
    fallbacks: Mapping[str, int]
    boot_s: Mapping[str, Summary]
    cost: Cost


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One figure of both sides; `absolute` is new - old in ms, `ratio` is new / old (None if old is 0)."""

    old: float
    new: float
    absolute: float
    ratio: float | None
    absolute_interval: Interval | None
    ratio_interval: Interval | None


@dataclass(frozen=True)
class Doubt:
    """Something that weakens the result, and what to do about it; `kind` is stable, for programs."""

    kind: str
    text: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The result of a review.

    Attributes:
        billed_ms: per figure (`mean`, `median`, `p90`, `p99`); empty if a side has no bill.
        overlap: whether the two ranges of billed ms meet; None without bills.
        usd_per_million: new - old; `usd_interval` its interval where each side has one memory size
            and is priced as logged.
    """

    old: Group
    new: Group
    billed_ms: Mapping[str, Difference]
    rank_test: RankTest | None
    overlap: bool | None
    usd_per_million: float | None
    usd_interval: Interval | None
    prices: Prices
    verdict: Verdict
    doubts: Sequence[Doubt]


def compare(
    old: Ledger,
    new: Ledger,
    prices: Prices,
    *,
    old_kinds: Sequence[Kind] | None = None,
    new_kinds: Sequence[Kind] | None = None,
) -> Comparison:
    """Compares two ledgers.

    Args:
        old, new: the sides; the same ledger twice with different kinds compares within one log.
        prices: what a GB-second costs.
        old_kinds, new_kinds: which starts of each side; None chooses starts, or everything
            where one side has none.
    """
    from .doubts import doubts  # it reads the records defined here

    default: Sequence[Kind] = STARTS if _has(old, STARTS) and _has(new, STARTS) else KINDS
    kinds = [
        [kind for kind in (chosen or default) if ledger.accounts[kind].n]
        for ledger, chosen in ((old, old_kinds), (new, new_kinds))
    ]
    accounts = [old.account(kinds[0]), new.account(kinds[1])]
    groups = [
        _group(ledger, chosen, account, prices)
        for ledger, chosen, account in zip((old, new), kinds, accounts, strict=True)
    ]
    a, b = accounts[0].billed, accounts[1].billed
    drawn = {name: resample(a, b, q) for name, q in FIGURES.items()}
    differences = (
        {name: _difference(a, b, q, drawn[name]) for name, q in FIGURES.items()} if a.n and b.n else {}
    )
    usd, usd_interval = _saving(groups[0], groups[1], drawn["mean"], prices)
    decisive = usd_interval or (differences["mean"].absolute_interval if differences else None)
    verdict: Verdict = "undecided"
    if decisive and decisive.high < 0:
        verdict = "cheaper"
    elif decisive and decisive.low > 0:
        verdict = "dearer"
    result = Comparison(
        old=groups[0],
        new=groups[1],
        billed_ms=differences,
        rank_test=mann_whitney(a, b),
        overlap=(a.minimum <= b.maximum and b.minimum <= a.maximum) if a.n and b.n else None,
        usd_per_million=usd,
        usd_interval=usd_interval,
        prices=prices,
        verdict=verdict,
        doubts=(),
    )
    found = doubts(result, old=accounts[0], new=accounts[1], all_old=old, all_new=new)
    return Comparison(**{**vars(result), "doubts": found})


def summarize(tally: Tally) -> Summary | None:
    """The figures of a tally; None if it is empty."""
    if not tally.n:
        return None
    return Summary(
        n=tally.n,
        mean=tally.mean,
        median=tally.quantile(0.5),
        p90=tally.quantile(0.9),
        p99=tally.quantile(0.99),
        minimum=tally.minimum,
        maximum=tally.maximum,
        deviation=tally.deviation,
        resolution=tally.resolution,
    )


def _has(ledger: Ledger, kinds: Sequence[Kind]) -> bool:
    return any(ledger.accounts[kind].n for kind in kinds)


def _group(ledger: Ledger, kinds: Sequence[Kind], account: Account, prices: Prices) -> Group:
    boot = {name: summarize(tally) for name, tally in sorted(ledger.boot_times.items())}
    return Group(
        name=ledger.name,
        lines=ledger.lines,
        records=ledger.n,
        malformed=ledger.malformed,
        problems=tuple(ledger.problems),
        functions=tuple(sorted(ledger.functions)),
        compared=tuple(kinds),
        billed_ms=summarize(account.billed),
        distribution=account.billed,
        memory_mb=tuple(sorted(account.memory)),
        kinds={kind: _kind(ledger.accounts[kind]) for kind in KINDS if ledger.accounts[kind].n},
        engines=dict(ledger.engines),
        fallbacks=dict(ledger.fallbacks.most_common()),
        boot_s={name: summary for name, summary in boot.items() if summary},
        cost=_cost(account, ledger.accounts["restored"].n if "restored" in kinds else 0, prices),
    )


def _kind(account: Account) -> KindSummary:
    return KindSummary(
        n=account.n,
        billed_ms=summarize(account.billed),
        duration_ms=summarize(account.duration),
        init_ms=summarize(account.init),
        restore_ms=summarize(account.restore),
        billed_restore_ms=summarize(account.billed_restore),
        max_memory_mb=summarize(account.max_memory),
    )


def _cost(account: Account, restored: int, prices: Prices) -> Cost:
    basis: Basis = "as logged"
    if prices.init_billed and account.init_off_bill > account.init_on_bill:
        basis = "with init"
    elif not prices.init_billed and account.init_on_bill > account.init_off_bill:
        basis = "without init"
    if not account.priced:
        return Cost(
            basis=basis,
            gb_seconds_per_million=None,
            usd_per_million=None,
            restore_usd_per_million=None,
            cache_usd_per_month=None,
        )
    mb_ms = {
        "as logged": account.mb_ms,
        "with init": account.mb_ms_with_init,
        "without init": account.mb_ms_without_init,
    }[basis]
    gb_seconds = mb_ms / 1024 / 1000 / account.priced * 1e6
    gigabytes = account.mb / 1024 / account.priced
    restore: float | None = 0.0
    cache: float | None = 0.0
    if restored:
        share = restored / account.n
        restore = None if prices.restore_gb is None else gigabytes * share * prices.restore_gb * 1e6
        cache = None if prices.cache_gb_second is None else gigabytes * MONTH_S * prices.cache_gb_second
    return Cost(
        basis=basis,
        gb_seconds_per_million=gb_seconds,
        usd_per_million=gb_seconds * prices.gb_second + (restore or 0.0),
        restore_usd_per_million=restore,
        cache_usd_per_month=cache,
    )


def _difference(old: Tally, new: Tally, quantile: float | None, drawn: Draws | None) -> Difference:
    a = old.mean if quantile is None else old.quantile(quantile)
    b = new.mean if quantile is None else new.quantile(quantile)
    return Difference(
        old=a,
        new=b,
        absolute=b - a,
        ratio=b / a if a else None,
        absolute_interval=drawn.difference() if drawn else None,
        ratio_interval=drawn.ratio() if drawn else None,
    )


def _saving(
    old: Group, new: Group, drawn: Draws | None, prices: Prices
) -> tuple[float | None, Interval | None]:
    a, b = old.cost.usd_per_million, new.cost.usd_per_million
    if a is None or b is None:
        return None, None
    slopes = _dollars_per_ms(old, prices), _dollars_per_ms(new, prices)
    if drawn is None or slopes[0] is None or slopes[1] is None:
        return b - a, None
    on_top = [group.cost.restore_usd_per_million or 0.0 for group in (old, new)]
    return b - a, drawn.money((slopes[0], on_top[0]), (slopes[1], on_top[1]))


def _dollars_per_ms(group: Group, prices: Prices) -> float | None:
    """What one more billed ms costs a million starts; None where it is no constant."""
    if (
        len(group.memory_mb) != 1
        or group.cost.basis != "as logged"
        or group.cost.restore_usd_per_million is None
    ):
        return None
    return group.memory_mb[0] / 1024 / 1000 * 1e6 * prices.gb_second
