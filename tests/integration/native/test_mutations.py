"""The restorer's own checks, asked about tens of thousands of plans that somebody else made.

`mutate.c` runs them inside one process, with a C library and sanitizers; here
it gets plans of a real process, and is tested itself: with one check taken
out of bounds.c it must find that something gets through.
"""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import pytest
from quickthaw import names
from quickthaw.plan import layout
from quickthaw.plan.tables import rows

from .conftest import ROOT, Freezer, Frozen, hot_half

pytestmark = [pytest.mark.criu, pytest.mark.sandbox]
NATIVE = ROOT / "layer" / "native"
CHECKS = ("bounds.c", "frames.c")
ROUNDS = 20_000


@pytest.fixture(scope="module")
def frozen(freeze_victim: Freezer, python: Path) -> Frozen:
    """Holds one of everything that a plan can have a row for."""
    return freeze_victim(python, "selftest", "held", "integrity")


def build(out: Path, sources: Path) -> Path:
    """The harness with the checks of a directory."""
    program = out / "mutate"
    command = ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-g"]
    command += [
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
        f"-I{NATIVE}",
        "-o",
        str(program),
    ]
    command += [str(Path(__file__).parent / "mutate.c"), *(str(sources / name) for name in CHECKS)]
    subprocess.run(command, check=True, capture_output=True)
    return program


def plan_of(frozen: Frozen, out: Path, which: str) -> Path:
    frozen.plan(out, which, hot=None if which == "lz4" else hot_half(frozen))
    return out / names.NATIVE / "plan"


def run(program: Path, plan: Path, seed: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, plan, str(seed), str(ROUNDS)], capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.parametrize("which", layout.LAYOUTS)
def test_no_change_of_a_plan_passes_the_checks_and_leads_outside(
    frozen: Frozen, tmp_path: Path, which: str
) -> None:
    seed = random.randrange(1 << 32)
    done = run(build(tmp_path, NATIVE), plan_of(frozen, tmp_path / "snapshot", which), seed)
    assert done.returncode == 0, f"seed {seed}: {done.stderr}"
    found = json.loads(done.stdout)
    assert found["swept"] > 20_000
    assert found["accepted"] + found["refused"] == found["swept"] + ROUNDS
    assert found["refused"] > found["swept"] // 4


def test_the_plans_that_are_changed_have_rows_in_every_table(frozen: Frozen, tmp_path: Path) -> None:
    empty = {record.name for record in layout.TABLES}
    for which in layout.LAYOUTS:
        plan = plan_of(frozen, tmp_path / which, which).read_bytes()
        empty -= {record.name for record in layout.TABLES if rows(plan, record)}
    assert empty == set()


REMOVED = {
    "a piece outside": ("bounds.c", "piece.size > thaw.plan->size - piece.offset", "0"),
    "a table outside": ("bounds.c", "> thaw.plan->size - table->offset)", "> ~0UL)"),
    "mappings that overlap": ("bounds.c", "if (map->start < end)", "if (0)"),
    "pages where nothing can be written": ("bounds.c", " && map->prot & PROT_WRITE;", ";"),
    "copied pages where no copy is": (
        "bounds.c",
        "!covering(TABLE_COPIES, segment->start, segment->size)",
        "0",
    ),
    "a probe of no file": ("bounds.c", "probes[at].file >= COUNT(TABLE_FILES)", "probes[at].file == ~0U"),
    "a thread area that is not mapped": ("frames.c", "demand(thread->fs_base, sizeof(uint64_t), both);", ""),
    "a timer without end": ("bounds.c", "timers[at].id > MAX_TIMER_ID", "0"),
}


@pytest.mark.parametrize("check", REMOVED)
def test_a_check_that_is_missing_is_found(frozen: Frozen, tmp_path: Path, check: str) -> None:
    name, text, instead = REMOVED[check]
    sources = tmp_path / "sources"
    sources.mkdir()
    for source in CHECKS:
        code = (NATIVE / source).read_text()
        if source == name:
            assert code.count(text) == 1
            code = code.replace(text, instead)
        (sources / source).write_text(code)
    done = run(build(tmp_path, sources), plan_of(frozen, tmp_path / "snapshot", "hot"), 1)
    assert done.returncode != 0
    assert "ERROR: AddressSanitizer" in done.stderr or "runtime error" in done.stderr or done.returncode == -6
