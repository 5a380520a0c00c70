"""Medians, gains and doubts from known samples, and the file they are kept in."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from quickthaw.bench import figures, plot, seed, table
from quickthaw.bench.arms import ARMS, choose
from quickthaw.bench.doubts import doubts
from quickthaw.bench.gains import fastest, gains, times_faster
from quickthaw.bench.record import KEYS, ArmResult, Bench, Sample, as_json, load, write
from quickthaw.errors import UsageError
from rich.console import Console

SEED = Path(__file__).resolve().parents[2] / "data" / "seed"


def sample(first_s: float, *, sequence: int = 0, ok: bool = True, problem: str | None = None) -> Sample:
    return Sample(
        init_s=first_s - 0.01, first_response_s=first_s, billed_ms=round(first_s * 1000), bytes_read=None,
        max_rss_mb=100.0, ok=ok, problem=problem, sequence=sequence, details={"restore_s": first_s / 2},
    )  # fmt: skip


def arm(name: str, *times_s: float) -> ArmResult:
    return ArmResult(name=name, runs=tuple(sample(time, sequence=n) for n, time in enumerate(times_s)))


@pytest.fixture
def bench() -> Bench:
    return Bench(
        machine={"cpus": 2, "cpu": "some CPU", "kernel": "6.1", "date": "2026-01-02T03:04:05+00:00"},
        workload={
            "handler": "app.handler", "python": "3.11.2", "criu": "4.1.1", "runs": 3, "disk": "warm",
            "interleaved": True, "sandbox": "lambda", "pages": {"1": {"content_size": 100_000_000}},
        },
        arms=(
            arm("cold", 1.0, 1.2, 1.1),
            arm("criu-sync", 0.3, 0.2, 0.25),
            arm("criu-grow", 0.10, 0.11, 0.12),
            ArmResult(name="native-hot", skipped="the snapshot has no native layout"),
        ),
    )  # fmt: skip


def test_the_seeds_figures_are_those_of_its_report_lines() -> None:
    for name, ours in (("old", seed.OLD_BILLED_MS), ("new", seed.NEW_BILLED_MS)):
        lines = (SEED / f"{name}.log").read_text()
        assert tuple(int(ms) for ms in re.findall(r"Billed Duration: (\d+) ms", lines)) == ours
    assert (round(seed.OLD_MEAN_MS, 1), round(seed.NEW_MEAN_MS, 1)) == (615.6, 550.1)
    assert round(seed.GAIN * 100, 1) == 10.6


def test_medians_and_quartiles_are_those_of_the_runs_that_count() -> None:
    runs = (*arm("cold", 1.0, 2.0, 3.0, 4.0, 5.0).runs, sample(99.0, ok=False, problem="fell back"))
    result = ArmResult(name="cold", runs=runs)
    assert result.median("first_response_s") == 3.0
    assert result.spread("first_response_s") == 2.0
    assert result.p95("first_response_s") == pytest.approx(4.8)
    assert result.median("bytes_read") is None
    assert (result.ok, result.problem) == (False, "fell back")


def test_gains_hold_ours_beside_the_seeds(bench: Bench) -> None:
    found = {gain.label: gain for gain in gains(bench)}
    assert found[f"{seed.SOURCE}, its own lines"].won == pytest.approx(seed.GAIN)
    assert found["cold → criu-grow"].won == pytest.approx(0.9)
    assert "cold → native-hot" not in found, "what was not measured has no gain"
    assert fastest(bench) == "criu-grow"
    assert times_faster(bench, "criu-grow") == pytest.approx(10.0)


def test_the_readmes_figures_do_not_travel_without_their_doubts(bench: Bench, tmp_path: Path) -> None:
    place = tmp_path / figures.PLACE / figures.WARM
    place.mkdir(parents=True)
    write(bench, place)
    assert "Doubts" not in figures.text(tmp_path)
    doubtful = replace(bench, doubts=doubts(bench.arms, cpus=1, others=0.3, stolen=0.0))
    write(doubtful, place)
    (line,) = [line for line in figures.text(tmp_path).splitlines() if line.startswith("Doubts: ")]
    assert all(doubt.what in line for doubt in doubtful.doubts) and len(doubtful.doubts) > 2


def test_bench_json_is_the_contract(bench: Bench, tmp_path: Path) -> None:
    body = json.loads(write(bench, tmp_path).read_text())
    assert body["schema"] == 1
    assert {"machine", "workload", "arms"} <= set(body)
    cold = body["arms"]["cold"]
    contract = {"init_s", "first_response_s", "billed_ms", "bytes_read", "max_rss_mb", "ok"}
    assert contract <= set(cold["runs"][0]) and contract == set(cold["median"])
    assert cold["median"]["first_response_s"] == 1.1
    assert [path.name for path in tmp_path.iterdir()] == ["bench.json"], "nothing half-written is left"


def test_bench_json_can_be_read_again(bench: Bench, tmp_path: Path) -> None:
    doubtful = replace(bench, doubts=doubts(bench.arms, cpus=1, others=0.5, stolen=0.5))
    assert load(write(doubtful, tmp_path)) == doubtful
    assert set(as_json(bench)["arms"]["cold"]["p95"]) == set(KEYS)


@pytest.mark.parametrize("text", ["", "{}", '{"schema": 2}', '{"schema": 1, "arms": []}', "[]"])
def test_what_is_no_bench_file_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"bench\.json"):
        load(path)


def test_a_quiet_full_bench_leaves_no_doubt() -> None:
    assert doubts([arm("cold", *[1.0, 1.01] * 5)], cpus=2, others=0.01, stolen=0.0) == ()


@pytest.mark.parametrize(
    ("words", "settings"),
    [("one CPU", {"cpus": 1}), ("else used 30%", {"others": 0.3}), ("hypervisor", {"stolen": 0.2})],
)
def test_a_bad_machine_is_a_doubt(words: str, settings: dict[str, float]) -> None:
    quiet = {"cpus": 2, "others": 0.0, "stolen": 0.0}
    (found,) = doubts([arm("cold", *[1.0] * 9)], **{**quiet, **settings})  # type: ignore[arg-type]
    assert words in found.what and found.remedy


def test_few_wide_and_far_off_runs_are_doubts() -> None:
    found = [doubt.what for doubt in doubts([arm("cold", 1.0, 1.5, 1.0, 9.0)], cpus=2, others=0, stolen=0)]
    assert any("4 runs" in text for text in found)
    assert any("apart: cold" in text for text in found)
    assert any("twice the median: cold" in text for text in found)


def test_skipped_and_failing_arms_are_doubts_with_their_reason(bench: Bench) -> None:
    bad = ArmResult(name="criu-async", runs=(sample(1.0, ok=False, problem="fell back to cold: no lease"),))
    found = doubts([*bench.arms, bad], cpus=2, others=0, stolen=0)
    assert any("native-hot" in one.what and "no native layout" in one.remedy for one in found)
    assert any("1 of 1 runs" in one.what and "no lease" in one.what for one in found)


@pytest.mark.parametrize("width", [80, 140])
def test_the_table_shows_every_arm_and_what_was_won(bench: Bench, width: int) -> None:
    out = io.StringIO()
    table.show(bench, Console(width=width, file=out, highlight=False))
    text = out.getvalue()
    for name in ("cold", "criu-sync", "criu-grow", "native-hot"):
        assert name in text
    assert "10.0 ×" in text, "criu-grow beside cold"
    assert "615.6 ms" in text and "10.6 %" in text, "the seed's gain stands beside ours"
    assert "…" not in text, "no figure is cut off"
    words = " ".join(text.split())
    assert "10.0 times faster" in words and words.endswith("(615.6 to 550.1 ms).")


def test_pictures_are_drawn_and_the_same_bench_draws_the_same(bench: Bench, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for directory in (first, second):
        directory.mkdir()
        written = plot.draw(bench, directory)
        assert sorted(path.name for path in written) == sorted(path.name for path in directory.iterdir())
    names = {"first-response.png", "first-response.svg", "billed.png", "billed.svg"}
    assert {path.name for path in first.iterdir()} == names
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes()
    svg = (first / "first-response.svg").read_text()
    assert "criu-grow" in svg and "10.0× faster" in svg and "native-hot" not in svg


def test_a_bench_without_a_measured_run_draws_nothing(bench: Bench, tmp_path: Path) -> None:
    empty = replace(bench, arms=(ArmResult(name="cold"),))
    assert plot.draw(empty, tmp_path) == ()
    assert table.summary(empty) == []


def test_arms_are_chosen_by_name_in_the_tables_order() -> None:
    assert [arm.name for arm in choose(["criu-grow", "cold"])] == ["cold", "criu-grow"]
    assert choose([]) == ARMS
    with pytest.raises(UsageError, match="no such arm: tepid"):
        choose(["tepid"])
