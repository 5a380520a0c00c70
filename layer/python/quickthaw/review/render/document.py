"""The comparison as a JSON document: schema 1, a contract for programs.

`groups.old` and `groups.new` hold `billed_ms.{n,mean,median,p90,p99,min,max}`
of what was compared, and everything else that is known of the log; ms and MB,
seconds under `boot_s`.  Missing is null.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..compare import Comparison, Difference, Group, KindSummary, Summary
from ..resample import LEVEL, Interval


def document(result: Comparison) -> dict[str, Any]:
    """Everything a comparison knows, as plain dictionaries, lists and numbers."""
    prices = asdict(result.prices)
    prices["day"] = result.prices.day.isoformat()
    return {
        "schema": 1,
        "verdict": result.verdict,
        "confidence": LEVEL,
        "groups": {"old": _group(result.old), "new": _group(result.new)},
        "difference": {"billed_ms": {name: _difference(found) for name, found in result.billed_ms.items()}},
        "rank_test": asdict(result.rank_test) if result.rank_test else None,
        "overlap": result.overlap,
        "cost": {
            "usd_per_million_difference": result.usd_per_million,
            "usd_per_million_interval": _interval(result.usd_interval),
            "prices": prices,
        },
        "doubts": [asdict(doubt) for doubt in result.doubts],
    }


def _group(group: Group) -> dict[str, Any]:
    return {
        "name": group.name,
        "lines": group.lines,
        "records": group.records,
        "malformed": {"count": group.malformed, "first": [asdict(problem) for problem in group.problems]},
        "functions": list(group.functions),
        "compared": list(group.compared),
        "billed_ms": _summary(group.billed_ms),
        "memory_mb": list(group.memory_mb),
        "kinds": {kind: _kind(summary) for kind, summary in group.kinds.items()},
        "engines": dict(group.engines),
        "fallbacks": dict(group.fallbacks),
        "boot_s": {name: _summary(summary) for name, summary in group.boot_s.items()},
        "cost": asdict(group.cost),
    }


def _kind(summary: KindSummary) -> dict[str, Any]:
    return {
        name: value if isinstance(value, int) else _summary(value) for name, value in vars(summary).items()
    }


def _summary(summary: Summary | None) -> dict[str, Any] | None:
    if summary is None:
        return None
    return {
        "n": summary.n,
        "mean": summary.mean,
        "median": summary.median,
        "p90": summary.p90,
        "p99": summary.p99,
        "min": summary.minimum,
        "max": summary.maximum,
        "deviation": summary.deviation,
        "resolution": summary.resolution,
    }


def _difference(found: Difference) -> dict[str, Any]:
    return {
        "old": found.old,
        "new": found.new,
        "absolute": found.absolute,
        "absolute_interval": _interval(found.absolute_interval),
        "ratio": found.ratio,
        "ratio_interval": _interval(found.ratio_interval),
    }


def _interval(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]
