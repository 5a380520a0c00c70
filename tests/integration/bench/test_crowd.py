"""Eight environments thaw one snapshot at once, by each engine: none fails, and pages are shared."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from quickthaw.bench import table
from quickthaw.bench.arms import choose
from quickthaw.bench.crowd import FILE, crowd
from quickthaw.bench.layouts import Layouts, provide
from quickthaw.bench.run import Order
from quickthaw.emulator.site import runtime_site
from quickthaw.sandbox.spec import SandboxSpec
from rich.console import Console

from tests.conftest import VICTIMS, Freezer

pytestmark = [pytest.mark.criu, pytest.mark.sandbox]

AT_ONCE, ROUNDS = 8, 3
ARMS = ("criu-async", "criu-grow", "native-lz4", "native-lazy")


@pytest.fixture(scope="module")
def order(freeze: Freezer, python: Path, layer: Path, tmp_path_factory: pytest.TempPathFactory) -> Order:
    out = tmp_path_factory.mktemp("crowd")
    task = VICTIMS / "counting"
    snapshot = freeze(task, out / "snapshot")
    sandbox = SandboxSpec(python=python, task=task, layer=layer, runtime=runtime_site(python))
    return Order(
        snapshot=snapshot, task=task, python=python, layer=layer, runs=ROUNDS, out=out / "out",
        events=[("plain.json", b'{"numbers": [1, 2, 3]}')], arms=choose(ARMS),
        layouts=provide(snapshot, ("lz4", "lazy"), out / "layouts", sandbox=sandbox),
    )  # fmt: skip


def test_eight_at_once_thaw_one_snapshot_again_and_again(order: Order) -> None:
    told: list[tuple[str, int, int, int]] = []
    results = crowd(order, at_once=AT_ONCE, on_thaw=lambda *what: told.append(what))
    assert [(result.arm, result.thaws, result.problems) for result in results] == [
        (arm, 1 + AT_ONCE * ROUNDS, ()) for arm in ARMS
    ]
    assert len(told) == len(ARMS) * (1 + AT_ONCE * ROUNDS)
    for result in results:
        assert len(result.first_response_s) == result.thaws
        assert result.alone is not None and result.together is not None
        assert 0 < result.together.pss_mb < result.alone.pss_mb, "libraries at least are shared"
        assert result.together.anonymous_mb <= result.together.pss_mb <= result.alone.rss_mb
    lz4, lazy = (
        next(result for result in results if result.arm == f"native-{name}") for name in ("lz4", "lazy")
    )
    assert lz4.together is not None and lazy.together is not None
    assert lazy.together.pss_mb < lz4.together.pss_mb, "pages that nobody writes to are the page cache's"
    assert [entry["arm"] for entry in json.loads((order.out / FILE).read_text())] == list(ARMS)
    text = io.StringIO()
    Console(file=text, width=100).print(table.crowd_table(results))
    assert all(arm in text.getvalue() for arm in ARMS)


def test_a_thaw_that_fails_in_the_crowd_is_counted_and_holds_nobody_up(order: Order) -> None:
    """Native layouts that are not there: every one starts cold, and says why."""
    nothing = Layouts(snapshots={"hot": order.snapshot / "images"})
    broken = replace(order, arms=choose(("native-hot",)), layouts=nothing, runs=1)
    (result,) = crowd(broken, at_once=2)
    assert len(result.problems) == result.thaws == 3
    assert all(problem.startswith("fell back to cold: no native plan") for problem in result.problems)
