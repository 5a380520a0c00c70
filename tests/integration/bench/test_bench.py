"""Benches of a real function through the emulator: what counts, what does not, what is kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from quickthaw.bench.arms import choose
from quickthaw.bench.disk import COLD
from quickthaw.bench.record import Bench, load
from quickthaw.bench.run import Order, Step, bench
from quickthaw.cli.app import app
from quickthaw.errors import UsageError
from typer.testing import CliRunner

from tests.conftest import VICTIMS, Freezer, damage

pytestmark = [pytest.mark.criu, pytest.mark.sandbox]

PLAIN = ("plain.json", b'{"numbers": [1, 2, 3]}')
COUNTING = ("counting.json", b'{"numbers": [1], "count": true}')


@pytest.fixture(scope="module")
def snapshot(freeze: Freezer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return freeze(VICTIMS / "counting", tmp_path_factory.mktemp("counting") / "snapshot", level=None)


@pytest.fixture(scope="module")
def compressed(freeze: Freezer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("compressed") / "snapshot"
    return freeze(VICTIMS / "counting", out, keep_uncompressed=False)


def order(
    snapshot: Path, out: Path, python: Path, layer: Path, *, arms: tuple[str, ...], **more: object
) -> Order:
    settings: dict[str, object] = {"events": [PLAIN], "runs": 2, "insist": frozenset(arms), **more}
    return Order(
        snapshot=snapshot, out=out, python=python, layer=layer, arms=choose(arms), **settings,  # type: ignore[arg-type]
    )  # fmt: skip


def test_every_arm_runs_as_often_and_every_answer_is_the_cold_starts(
    compressed: Path, tmp_path: Path, python: Path, layer: Path
) -> None:
    steps: list[Step] = []
    kept: list[Bench] = []

    def on_step(step: Step) -> None:
        steps.append(step)
        if (tmp_path / "bench.json").exists():
            kept.append(load(tmp_path / "bench.json"))

    arms = ("cold", "criu-sync", "criu-grow")
    result = bench(order(compressed, tmp_path, python, layer, arms=arms), on_step=on_step)
    assert result.ok, result
    assert {arm.name: len(arm.runs) for arm in result.arms} == dict.fromkeys(arms, 2)
    assert result.median("criu-grow", "first_response_s")
    sequence = [step.arm for step in steps if step.counted]
    assert sorted(sequence[:3]) == sorted(arms) == sorted(sequence[3:]), (
        "rounds over all arms, not arm by arm"
    )
    assert (steps[-1].done, steps[-1].total) == (10, 10)
    assert load(tmp_path / "bench.json").arms == result.arms
    assert kept, "the file was there before the last run ended"
    text = (tmp_path / "bench.json").read_text()
    assert str(compressed.parent) not in text and str(Path.home()) not in text, "no path of this machine"


def test_an_arm_that_falls_back_is_a_failure_with_the_reason(
    compressed: Path, tmp_path: Path, python: Path, layer: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(compressed, broken)
    damage(broken / "images" / "pages-1.comp.img")
    result = bench(order(broken, tmp_path, python, layer, arms=("cold", "criu-grow")))
    grow = result.arm("criu-grow")
    assert not result.ok and grow is not None
    assert len(grow.runs) == 1, "a failing arm is not tried again and again"
    assert grow.problem is not None and grow.problem.startswith("fell back to cold: ")
    assert grow.median("first_response_s") is None, "the cold start's time is not the arm's"
    assert any("fell back" in doubt.what for doubt in result.doubts)
    cold = result.arm("cold")
    assert cold is not None and cold.ok and len(cold.runs) == 2


def test_another_answer_than_the_cold_starts_does_not_count(
    compressed: Path, tmp_path: Path, python: Path, layer: Path
) -> None:
    result = bench(order(compressed, tmp_path, python, layer, arms=("criu-grow",), events=[COUNTING]))
    grow = result.arm("criu-grow")
    assert grow is not None and not grow.ok
    assert grow.problem == "another answer than the cold start's: answer 1.calls: '2' instead of '1'"


def test_an_arm_that_the_snapshot_cannot_serve_is_skipped_with_the_reason(
    snapshot: Path, tmp_path: Path, python: Path, layer: Path
) -> None:
    arms = ("criu-plain", "criu-grow", "native-hot")
    result = bench(order(snapshot, tmp_path, python, layer, arms=arms, insist=frozenset(), runs=1))
    skipped = {arm.name: arm.skipped for arm in result.arms}
    assert skipped["criu-plain"] is None
    assert "not compressed" in (skipped["criu-grow"] or "")
    assert "native" in (skipped["native-hot"] or "")
    with pytest.raises(UsageError, match="native-hot cannot run"):
        bench(order(snapshot, tmp_path, python, layer, arms=("native-hot",)))


def test_the_command_writes_json_and_pictures_and_fails_when_a_run_does_not_count(
    compressed: Path, tmp_path: Path, python: Path, layer: Path
) -> None:
    for name, event, code in (("good", PLAIN, 0), ("bad", COUNTING, 6)):
        out, file = tmp_path / name, tmp_path / event[0]
        file.write_bytes(event[1])
        argv = [
            "bench",
            str(compressed),
            "--event",
            str(file),
            "-n",
            "1",
            "--arm",
            "cold",
            "--arm",
            "criu-grow",
        ]
        argv += ["--out", str(out), "--python", str(python), "--layer", str(layer), "--json"]
        done = CliRunner().invoke(app, argv)
        assert getattr(done.exception, "exit_code", 0) == code, done.output
        body = json.loads(done.stdout)
        assert body == json.loads((out / "bench.json").read_text())
        assert body["arms"]["criu-grow"]["median"]["ok"] is (code == 0)
        assert (out / "first-response.png").stat().st_size > 1000


def test_a_cold_disk_is_read_again(compressed: Path, tmp_path: Path, python: Path, layer: Path) -> None:
    result = bench(order(compressed, tmp_path, python, layer, arms=("cold",), disk=COLD, runs=1))
    read = result.median("cold", "bytes_read")
    assert read is None or read > 1_000_000, "an interpreter and its modules"
