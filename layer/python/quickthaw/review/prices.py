"""What a GB-second costs, where, since when; and whether INIT is on the bill.

Place in the flow: `compare` turns billed milliseconds into dollars with it.
All figures are in `prices.json` beside this file, with source and date of
reading; nothing is fetched.

What is left out, because it is the same for both sides: the charge per request
(0.20 dollars per million in most regions), the free tier, savings plans and the
lower tiers above six billion GB-seconds a month.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from ..errors import UsageError

Architecture = Literal["x86_64", "arm64"]
Runtime = Literal["python", "java", "custom"]
ARCHITECTURES: Final[tuple[Architecture, ...]] = ("x86_64", "arm64")
RUNTIMES: Final[tuple[Runtime, ...]] = ("python", "java", "custom")
_TABLE = Path(__file__).with_name("prices.json")
MONTH_S = 30 * 86400  # how AWS's own examples count a month


@dataclass(frozen=True, kw_only=True)
class Prices:
    """The prices that hold for one architecture, region and day.

    Attributes:
        gb_second: dollars.
        init_billed: whether INIT is on the bill of an on-demand function.
        restore_gb: dollars per GB restored by SnapStart; 0 where free, None where the table has no price.
        cache_gb_second: dollars per GB-second of a cached SnapStart version; 0 and None as above.
        source, read_on: where the figures come from.
    """

    arch: Architecture
    region: str
    day: date
    runtime: Runtime
    gb_second: float
    init_billed: bool
    restore_gb: float | None
    cache_gb_second: float | None
    source: str
    read_on: str


def prices(*, arch: Architecture, region: str, day: date, runtime: Runtime = "python") -> Prices:
    """Looks the prices up.

    Args:
        arch: the function's architecture.
        region: AWS region; one that the table does not name has the base price.
        day: the day whose prices are meant.
        runtime: `custom` also means a container image; it decides whether INIT was billed
            before 2025-08-01, and `java` whether SnapStart is free.

    Raises:
        UsageError: the architecture was not sold on that day, or the table does not reach back.
    """
    table = _table()
    row = _latest(
        [r for r in table["gb_second"] if r["arch"] == arch and r["region"] == region], day
    ) or _latest([r for r in table["gb_second"] if r["arch"] == arch and r["region"] == "*"], day)
    rule = _latest(table["init_billed"], day)
    if row is None or rule is None:
        raise UsageError(
            f"no Lambda price for {arch} in {region} on {day}",
            hint="The table begins in December 2020, with arm64 in September 2021; take a later --date.",
        )
    snapstart = _latest([r for r in table["snapstart"] if r["region"] == region], day)
    restore = cache_ = None
    if snapstart is not None:
        free = runtime in snapstart["free_runtimes"]
        restore = 0.0 if free else snapstart["restore_usd_per_gb"]
        cache_ = 0.0 if free else snapstart["cache_usd_per_gb_second"]
    return Prices(
        arch=arch,
        region=region,
        day=day,
        runtime=runtime,
        gb_second=row["usd"],
        init_billed=rule["custom" if runtime == "custom" else "managed"],
        restore_gb=restore,
        cache_gb_second=cache_,
        source=table["source"],
        read_on=table["read_on"],
    )


def _latest(rows: list[dict[str, Any]], day: date) -> dict[str, Any] | None:
    held = [row for row in rows if date.fromisoformat(row["from"]) <= day]
    return max(held, key=lambda row: str(row["from"]), default=None)


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(_TABLE.read_text(encoding="utf-8"))
    return table
