"""Leader and decoder are kept apart while memory is made; nothing of it stays in a thaw or a cold start."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from quickthaw import names
from quickthaw.plan import layout
from quickthaw.plan.tables import rows

from tests.conftest import absent

from .conftest import Freezer, Thawer, hot_half

pytestmark = [pytest.mark.criu, pytest.mark.sandbox]
LAYOUTS = ("lz4", "lazy", "hot")
ALL = os.sched_getaffinity(0)
FALLBACK = ["/bin/sh", "-c", 'grep Cpus_allowed: /proc/self/status; echo "declined: $QUICKTHAW_DECLINED"']


@pytest.fixture
def two() -> Iterator[set[int]]:
    """Two processors for what this process starts: only then is anything bound."""
    if len(ALL) < 2:
        absent("this machine has one processor: there is nothing to share out")
    chosen = set(sorted(ALL)[-2:])
    os.sched_setaffinity(0, chosen)
    yield chosen
    os.sched_setaffinity(0, ALL)


def allowed(status: str) -> set[int]:
    """Processors of a /proc/PID/status."""
    word = next(line for line in status.splitlines() if line.startswith("Cpus_allowed:")).split()[1]
    mask = int(word.replace(",", ""), 16)
    return {cpu for cpu in range(mask.bit_length()) if mask >> cpu & 1}


@pytest.mark.parametrize("of", LAYOUTS)
def test_every_thread_of_a_thawed_process_may_run_where_the_environment_may(
    two: set[int], freeze_victim: Freezer, thaw: Thawer, python: Path, of: str, tmp_path: Path
) -> None:
    frozen = freeze_victim(python, "selftest")
    frozen.plan(tmp_path, of, hot=hot_half(frozen) if of == "hot" else None)
    with thaw(frozen, tmp_path, words="hold") as thawed:
        thawed.until_held()
        tasks = sorted(Path(f"/proc/{thawed.process.pid}/task").iterdir())
        assert len(tasks) == frozen.threads > 1
        assert {frozenset(allowed((task / "status").read_text())) for task in tasks} == {frozenset(two)}


def test_a_cold_start_after_a_damaged_block_may_run_where_the_environment_may(
    two: set[int], freeze_victim: Freezer, thaw: Thawer, python: Path, tmp_path: Path
) -> None:
    """Whichever of the two found the damage: the last block is as likely the leader's as the decoder's."""
    frozen = freeze_victim(python, "selftest")
    frozen.plan(tmp_path, "lz4")
    native = tmp_path / names.NATIVE
    packed, blocks = native / "pages.lz4", rows((native / "plan").read_bytes(), layout.BLOCK)
    good = packed.read_bytes()
    for block in (blocks[0], blocks[len(blocks) // 2], blocks[-1]):
        at = block["offset"]
        assert isinstance(at, int)
        packed.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        argv = ["/opt/native/thaw", names.SNAPSHOT_PATH, *FALLBACK]
        with thaw(frozen, tmp_path, argv=argv) as thawed:
            declined = thawed.declined()
            assert declined is not None and "is damaged" in declined
            assert allowed(thawed.output.decode()) == two
