"""Logs and ledgers that several tests need."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from quickthaw.review.ledger import Ledger
from quickthaw.review.prices import Prices, prices
from quickthaw.review.scan import Scanner

SEED = Path(__file__).parents[2] / "data" / "seed"


@pytest.fixture
def tariff() -> Prices:
    """Prices of a day that will not move."""
    return prices(arch="x86_64", region="us-east-1", day=date(2026, 10, 1))


@pytest.fixture
def ledger() -> Callable[..., Ledger]:
    """Makes a ledger of lines."""

    def make(*lines: str, name: str = "log") -> Ledger:
        made, scanner = Ledger(name), Scanner()
        for entry in scanner.chunks([("\n".join(lines) + "\n").encode()]):
            made.add(entry)
        made.lines, made.malformed = scanner.lines, scanner.malformed
        made.problems, made.functions = scanner.problems, scanner.functions
        return made

    return make


def report(
    *,
    duration: float,
    init: float | None = None,
    memory: int = 1024,
    billed: int | None = None,
    more: str = "",
) -> str:
    """One REPORT line, billed as Lambda bills since August 2025 unless told otherwise."""
    bill = billed if billed is not None else -int(-(duration + (init or 0)) // 1)
    start = f"\tInit Duration: {init:.2f} ms" if init is not None else ""
    return (
        f"REPORT RequestId: 8f5c4a2e\tDuration: {duration:.2f} ms\tBilled Duration: {bill} ms\t"
        f"Memory Size: {memory} MB\tMax Memory Used: 91 MB{start}{more}"
    )


THAWED = (
    '{"quickthaw":1,"engine":"native","mode":null,"reason":null,"total_s":0.031,"decompress_s":0.02,'
    '"wait_s":0.001,"wake_s":0.004,"cold_init_saved_s":1.5}'
)
FELL_BACK = '{"quickthaw":1,"engine":"cold","reason":"this CPU lacks avx512f","lost_s":0.01}'
