"""Time and memory over the size of the snapshot, with two small sizes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from quickthaw.bench import growth
from quickthaw.bench.record import ArmResult, Sample
from quickthaw.cli.app import app
from typer.testing import CliRunner

pytestmark = [pytest.mark.criu, pytest.mark.sandbox]


def test_the_command_measures_every_size_and_keeps_every_run(
    needs_root: None, tmp_path: Path, python: Path, layer: Path
) -> None:
    argv = ["growth", "--out", str(tmp_path / "out"), "--size", "10", "--size", "300", "-n", "2"]
    argv += ["--publish", str(tmp_path / "published"), "--python", str(python), "--layer", str(layer)]
    done = CliRunner().invoke(app, argv)
    assert done.exit_code == 0, done.output
    body = json.loads((tmp_path / "published" / "growth.json").read_text())
    small, large = body["points"]
    assert 280 < large["pages_mb"] - small["pages_mb"] < 300
    for point in body["points"]:
        assert {arm: len(found["runs"]) for arm, found in point["arms"].items()} == dict.fromkeys(
            growth.ARMS, 2
        )
        assert all(run["ok"] for found in point["arms"].values() for run in found["runs"])
    grown = {arm: found["max_rss_mb"] for arm, found in body["per_100_mb"].items()}
    assert grown["native-lz4"] > 80, "all pages are in memory"
    assert grown["native-hot"] < 10, "only those that are needed"
    for name in ("growth.png", "growth.svg"):
        assert (tmp_path / "published" / name).stat().st_size > 1000
    assert list((tmp_path / "out").glob(".growing*")) == [], "the snapshots are gone"


def test_the_slope_is_the_straight_lines() -> None:
    def point(pages_mb: float, seconds: float) -> growth.Point:
        run = Sample(
            init_s=None, first_response_s=seconds, billed_ms=None, bytes_read=None, max_rss_mb=None, ok=True,
            problem=None, sequence=0,
        )  # fmt: skip
        return growth.Point(pages_mb=pages_mb, arms=(ArmResult(name="native-lz4", runs=(run,)),))

    points = tuple(point(size, 0.02 + size / 1000) for size in (50, 100, 400))
    found = growth.Growth(machine={}, runs=1, disk="warm", points=points)
    assert found.slope("native-lz4", "first_response_s") == pytest.approx(0.1)
    assert found.slope("native-lz4", "max_rss_mb") is None
    assert found.slope("native-hot", "first_response_s") is None
