"""Checks, declined starts and a fetch of a real function: what is measured, what stops it, what is kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from quickthaw import names
from quickthaw.bench.costs import fetched, record
from quickthaw.bench.costs import run as costs
from quickthaw.bench.costs.bucket import Network
from quickthaw.bench.layouts import Layouts
from quickthaw.bench.run import Order
from quickthaw.errors import BadSnapshot, FunctionFailed, UsageError
from quickthaw.snapshot import manifest

from tests.conftest import VICTIMS, Freezer, damage

pytestmark = [pytest.mark.criu, pytest.mark.sandbox]

NEAR = Network(round_trip_s=0.001, connection_bytes_per_s=1e9, bytes_per_s=1e9)


@pytest.fixture(scope="module")
def packed(freeze: Freezer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In the layout that can be fetched; not to be written to."""
    return freeze(VICTIMS / "counting", tmp_path_factory.mktemp("packed") / "snapshot", layout="lz4")


def order(snapshot: Path, out: Path, python: Path, layer: Path) -> Order:
    return Order(
        snapshot=snapshot, python=python, layer=layer, events=[("event.json", b'{"numbers": [4]}')], arms=(),
        runs=2, out=out, layouts=Layouts(snapshots={"lz4": snapshot}),
    )  # fmt: skip


def test_everything_is_measured_and_kept_without_a_path(
    packed: Path, tmp_path: Path, python: Path, layer: Path
) -> None:
    stages: list[str] = []
    found = costs.measure(
        order(packed, tmp_path / "out", python, layer), on_stage=lambda stage, _done: stages.append(stage)
    )
    expected = {record.VERIFY, record.SECRETS, record.DECLINED, record.DECLINED_BY_BOTH, *fetched.STARTS}
    assert {what: len(samples) for what, samples in found.samples.items()} == dict.fromkeys(expected, 2)
    network = fetched.NETWORK
    least_s = 3 * network.round_trip_s + found.workload["fetched_bytes"] / network.bytes_per_s
    assert min(found.samples[record.FETCHED]) > least_s, "a handshake, the manifest, the pages"
    assert found.workload["fetched_bytes"] == (packed / "native" / "pages.lz4").stat().st_size
    assert len(set(stages)) == 4
    text = (tmp_path / "out" / record.FILE).read_text()
    assert str(packed.parent) not in text and str(Path.home()) not in text
    assert record.load(tmp_path / "out" / record.FILE) == found
    assert json.loads(text)["median"][record.VERIFY] == found.median(record.VERIFY)


def test_a_start_that_falls_back_stops_it_with_the_reason(
    packed: Path, tmp_path: Path, python: Path, layer: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(packed, broken)
    damage(broken / "native" / "pages.lz4")
    with pytest.raises(FunctionFailed, match="init, layer: fell back to cold: "):
        fetched.measure(order(broken, tmp_path / "out", python, layer), network=NEAR)
    with pytest.raises(BadSnapshot, match=r"pages\.lz4: damaged"):
        costs.measure(order(broken, tmp_path / "out", python, layer))
    assert not (tmp_path / "out" / record.FILE).exists(), "nothing was measured"


def test_a_fetch_that_comes_to_nothing_stops_it_with_the_reason(
    packed: Path, tmp_path: Path, python: Path, layer: Path
) -> None:
    """The manifest gives the pages another size, which nobody but the fetch compares."""
    broken = tmp_path / "broken"
    shutil.copytree(packed, broken)
    body = {key: value for key, value in manifest.read(str(packed)).body.items() if key != "checksum"}
    (pages,) = [entry for entry in body["files"] if entry["path"] == "native/pages.lz4"]
    pages["size"] += 1
    (broken / names.MANIFEST).write_bytes(manifest.seal(body))
    with pytest.raises(FunctionFailed, match=r"init, fetched: fell back to cold: pages\.lz4 has "):
        fetched.measure(order(broken, tmp_path / "out", python, layer), network=NEAR)


@pytest.mark.parametrize("text", ["", "{}", '{"schema": 2}', '{"schema": 1}', "[]"])
def test_what_is_no_costs_file_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / record.FILE
    path.write_text(text)
    with pytest.raises(UsageError, match=r"costs\.json"):
        record.load(path)
