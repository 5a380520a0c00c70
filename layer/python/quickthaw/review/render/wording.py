"""The sentences and cells that terminal, Markdown and HTML have in common.

A missing figure is a dash, never 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..compare import Comparison, Difference, Group, Summary
from ..resample import Interval

DASH = "–"
KIND_NAMES = {"cold": "cold", "thawed": "thawed", "restored": "SnapStart", "warm": "warm"}
FIGURE_NAMES = {"mean": "mean", "median": "median", "p90": "p90", "p99": "p99"}


def ms(value: float | None) -> str:
    """A duration in ms without its unit."""
    return DASH if value is None else f"{value:,.1f}"


def signed(value: float | None, digits: int = 1) -> str:
    """A difference; a typographic minus keeps columns readable."""
    return DASH if value is None else f"{value:+,.{digits}f}".replace("-", "−")


def percent(ratio: float | None) -> str:
    """A ratio as the change it means."""
    return DASH if ratio is None else signed((ratio - 1) * 100) + " %"


def span(interval: Interval | None, digits: int = 1) -> str:
    """Both ends of an interval."""
    if interval is None:
        return DASH
    return f"{signed(interval.low, digits)} … {signed(interval.high, digits)}"


def dollars(value: float | None) -> str:
    """An amount of money."""
    return DASH if value is None else f"${value:,.2f}"


def signed_dollars(value: float | None) -> str:
    """A difference of money."""
    return DASH if value is None else ("−" if value < 0 else "+") + dollars(abs(value))


def chance(p: float) -> str:
    """A p value; below one in a million the digits mean nothing."""
    return "< 0.000001" if p < 1e-6 else f"{p:.2g}" if p < 0.001 else f"{p:.3f}"


def compared(group: Group) -> str:
    """What of the log was compared."""
    return ", ".join(KIND_NAMES[kind] for kind in group.compared) or "nothing"


def verdict(result: Comparison) -> str:
    """The decision in one sentence."""
    mean = result.billed_ms.get("mean")
    if mean is None:
        return "There is nothing to compare."
    change = f"{ms(mean.old)} → {ms(mean.new)} ms ({percent(mean.ratio)})"
    interval = f"95 % interval {span(mean.absolute_interval)} ms"
    if result.verdict == "undecided":
        return f"Undecided: mean billed {change}; the difference may be {span(mean.absolute_interval)} ms."
    if (mean.absolute < 0) != (result.verdict == "cheaper"):  # SnapStart's charge, or another memory size
        return f"NEW is {result.verdict} in dollars, though not in milliseconds: mean billed {change}."
    return f"NEW is {result.verdict}: mean billed {change}, {interval}."


def rank(result: Comparison) -> str:
    """The rank test in one sentence."""
    test = result.rank_test
    if test is None:
        return "No rank test: a side is empty."
    beats = f"A new start is dearer than an old one in {test.greater * 100:.1f} % of all pairs"
    ranges = "; the two ranges do not overlap" if result.overlap is False else ""
    p = f"p {'' if test.p < 1e-6 else '= '}{chance(test.p)}"
    return f"{beats}{ranges}. Rank test (Mann-Whitney, {test.method}): {p}."


def money(result: Comparison) -> str:
    """The saving in one sentence."""
    prices = result.prices
    place = f"{prices.arch}, {prices.region}, prices of {prices.day}"
    if result.usd_per_million is None:
        return f"No price: the log names no memory size ({place})."
    word, extra = ("saves", "") if result.usd_per_million < 0 else ("costs", " more")
    interval = result.usd_interval
    sure = ""
    if interval:
        ends = sorted((abs(interval.low), abs(interval.high))) if interval.low * interval.high > 0 else None
        sure = f" ({dollars(ends[0])} … {dollars(ends[1])})" if ends else f" ({span(interval, 2)})"
    return f"Per million starts NEW {word} {dollars(abs(result.usd_per_million))}{extra}{sure}; {place}."


class FigureRow(NamedTuple):
    """One line of the main table."""

    name: str
    old: str
    new: str
    difference: str
    interval: str
    change: str


def figure_rows(result: Comparison) -> Iterator[FigureRow]:
    """The main table: billed ms of both sides."""
    a, b = result.old.billed_ms, result.new.billed_ms
    yield FigureRow("starts", f"{a.n:,}" if a else "0", f"{b.n:,}" if b else "0", "", "", "")
    for name, title in FIGURE_NAMES.items():
        yield _figure(title, a, b, name, result.billed_ms.get(name))
    for name, title in (("minimum", "min"), ("maximum", "max"), ("deviation", "spread")):
        yield FigureRow(title, ms(_get(a, name)), ms(_get(b, name)), "", "", "")


def _figure(
    title: str, a: Summary | None, b: Summary | None, name: str, found: Difference | None
) -> FigureRow:
    if found is None:
        return FigureRow(title, ms(_get(a, name)), ms(_get(b, name)), DASH, DASH, DASH)
    return FigureRow(
        title,
        ms(found.old),
        ms(found.new),
        signed(found.absolute),
        span(found.absolute_interval),
        percent(found.ratio),
    )


KIND_HEADER = (
    "",
    "start",
    "n",
    "billed p50",
    "p90",
    "p99",
    "init p50",
    "restore p50",
    "handler p50",
    "memory used",
)


def kind_rows(result: Comparison) -> Iterator[tuple[str, ...]]:
    """Every kind of start of both logs, compared or not."""
    for side, group in sides(result):
        for kind, summary in group.kinds.items():
            billed, memory = summary.billed_ms, summary.max_memory_mb
            yield (
                side,
                KIND_NAMES[kind] + ("" if kind in group.compared else " (left out)"),
                f"{summary.n:,}",
                ms(_get(billed, "median")),
                ms(_get(billed, "p90")),
                ms(_get(billed, "p99")),
                ms(_get(summary.init_ms, "median")),
                ms(_get(summary.restore_ms, "median")),
                ms(_get(summary.duration_ms, "median")),
                f"{memory.maximum:,.0f} MB" if memory else DASH,
            )


def money_table(result: Comparison) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and lines of what both sides cost; SnapStart's own charges only where it was used."""
    snapstart = any("restored" in group.compared for _, group in sides(result))
    header = ["", "memory", "billed GB-s per million", "$ per million"]
    if snapstart:
        header += ["of it restore", "cache, $ per version and month"]
    lines = []
    for side, group in sides(result):
        cost = group.cost
        gb_s = cost.gb_seconds_per_million
        line = [
            side + ("" if cost.basis == "as logged" else f" ({cost.basis})"),
            (", ".join(f"{size:g}" for size in group.memory_mb) + " MB") if group.memory_mb else DASH,
            DASH if gb_s is None else f"{gb_s:,.0f}",
            dollars(cost.usd_per_million),
        ]
        if snapstart:
            line += [dollars(cost.restore_usd_per_million), dollars(cost.cache_usd_per_month)]
        lines.append(tuple(line))
    last = ["difference", "", "", signed_dollars(result.usd_per_million)]
    lines.append(tuple(last + [""] * (len(header) - len(last))))
    return tuple(header), lines


BOOT_NAMES = {
    "decompress_s": "decompress",
    "wait_s": "page wait",
    "restore_s": "restore",
    "wake_s": "wake",
    "total_s": "thaw in all",
    "cold_init_saved_s": "cold init saved",
}


def boot_rows(result: Comparison) -> Iterator[tuple[str, ...]]:
    """What the bootstrap's own lines say of thawed starts: side, item, n, median and p99 in ms."""
    for side, group in sides(result):
        for name, title in BOOT_NAMES.items():
            summary = group.boot_s.get(name)
            if summary:
                yield side, title, f"{summary.n:,}", ms(summary.median * 1000), ms(summary.p99 * 1000)


def fallback_rows(result: Comparison) -> Iterator[tuple[str, str, str]]:
    """Why environments started cold that should have been thawed."""
    for side, group in sides(result):
        for reason, n in list(group.fallbacks.items())[:10]:
            yield side, f"{n:,}", reason


def sides(result: Comparison) -> tuple[tuple[str, Group], tuple[str, Group]]:
    """Both sides with the name that the output gives them."""
    return ("old", result.old), ("new", result.new)


def _get(summary: Summary | None, name: str) -> float | None:
    value: float | None = getattr(summary, name) if summary else None
    return value
