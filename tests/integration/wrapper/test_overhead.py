"""What the exec wrapper costs a start that it does not thaw: next to nothing, whatever the reason.

Figures of one run on a busy 2-core machine, medians of 15: 0.04 ms (engine off) to
0.4 ms (the last mapped file).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from statistics import median

import pytest
from quickthaw import names
from quickthaw.bench.costs.declined import DeclinedStarts, measure
from quickthaw.emulator.site import runtime_site
from quickthaw.plan import layout as plan_layout
from quickthaw.plan.tables import resealed
from quickthaw.sandbox.spec import Bind, SandboxSpec

from tests.conftest import VICTIMS

MOST_S = 0.005
ROUNDS = 15


def variant(small: Path, out: Path, **fields: int) -> Path:
    """A copy of the snapshot whose plan says something else, and whose checksum is right."""
    shutil.copytree(small, out)
    plan = bytearray((small / "native" / "plan").read_bytes())
    for name, value in fields.items():
        at = plan_layout.HEADER.offset(name.replace("__", "."))
        plan[at : at + 4] = value.to_bytes(4, "little")
    (out / "native" / "plan").write_bytes(resealed(bytes(plan)))
    return out


def other_last_file(small: Path, out: Path) -> Path:
    """A copy whose last mapped file was larger: every other one is opened and compared before."""
    shutil.copytree(small, out)
    plan = bytearray((small / "native" / "plan").read_bytes())
    head = plan_layout.HEADER.unpack(bytes(plan))
    number = plan_layout.TABLES.index(plan_layout.FILE)
    begin, count = head[f"tables[{number}].offset"], head[f"tables[{number}].count"]
    assert isinstance(begin, int) and isinstance(count, int) and count > 10
    at = begin + (count - 1) * plan_layout.FILE.size + plan_layout.FILE.offset("size")
    plan[at] ^= 1
    (out / "native" / "plan").write_bytes(resealed(bytes(plan)))
    return out


@pytest.fixture
def measured(
    needs_root: None, small: Path, layer: Path, python: Path, tmp_path: Path
) -> dict[str, DeclinedStarts]:
    """What the wrapper says and takes, case by case."""
    place = tmp_path / "cases"
    place.mkdir()
    variant(small, place / "architecture", machine=183)  # EM_AARCH64
    variant(small, place / "cpu", cpu__extended1_ecx=0x10000)  # FMA4
    variant(small, place / "version", version=99)
    other_last_file(small, place / "files")
    shutil.copytree(small, place / "damaged")
    (place / "damaged" / "native" / "plan").write_bytes((small / "native" / "plan").read_bytes()[:-1] + b"!")
    cases = {
        name: {names.ENV_SNAPSHOT: f"/tmp/cases/{name}"}
        for name in ("architecture", "cpu", "version", "files", "damaged", "nothing")
    }
    cases["off"] = {names.ENV_ENGINE: "off"}
    cases["several"] = {"AWS_LAMBDA_MAX_CONCURRENCY": "4"}
    for path in (place, *place.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    spec = SandboxSpec(
        python=python, task=VICTIMS / "small", layer=layer, snapshot=small, runtime=runtime_site(python),
        binds=(Bind(place, "/tmp/cases"),),
    )  # fmt: skip
    return measure(spec, cases, rounds=ROUNDS)


REASONS = {
    "architecture": "is for another architecture",
    "cpu": "this CPU lacks features",
    "version": "has version 99",
    "files": "when it was frozen",
    "damaged": "is damaged",
    "nothing": "no native plan at /tmp/cases/nothing",
    "off": "engine off",
    "several": "wants several processes",
}


def test_a_start_that_is_declined_costs_five_milliseconds_at_most(
    measured: dict[str, DeclinedStarts],
) -> None:
    assert measured.keys() == REASONS.keys()
    for name, found in measured.items():
        line = json.loads(found.log)
        assert line["engine"] == "cold" and REASONS[name] in line["reason"], found.log
        plain_s, wrapped_s = median(found.plain_s), median(found.wrapped_s)
        print(f"{name}: plain {plain_s * 1000:.2f} ms, wrapped {wrapped_s * 1000:.2f} ms")
        assert wrapped_s - plain_s <= MOST_S, f"{name}: {plain_s:.4f} s plain, {wrapped_s:.4f} s wrapped"
