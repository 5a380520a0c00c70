"""A decline at the last moment is a cold start like any other: it has nothing of the snapshot's process."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from quickthaw import names
from quickthaw.plan import layout
from quickthaw.plan.tables import resealed
from quickthaw.sandbox.layout import layout as sandbox_layout

from .conftest import Freezer, Frozen, Thawer, read_until

pytestmark = [pytest.mark.criu, pytest.mark.sandbox]
GIVEN = (5, 6, *range(256, 290))  # telemetry, one of the process's numbers, and some of the restorer's own
LARGE = {f"LARGE_{number}": "\x01" * 120_000 for number in range(2)}  # six times as large in JSON


@pytest.fixture
def late(freeze_victim: Freezer, python: Path, tmp_path: Path) -> Frozen:
    """Stands in a directory that can be taken away."""
    site = tmp_path / "site"
    (site / "gone").mkdir(parents=True)
    for path in (tmp_path, site, site / "gone"):
        path.chmod(0o755)
    return freeze_victim(python, "late", site=site)


def timers_refused(plan: bytes) -> bytes:
    """The same plan with a third interval timer that the kernel refuses."""
    header = layout.HEADER.unpack(plan)
    at = header["itimers.offset"]
    assert isinstance(at, int) and header["itimers.size"] == 96
    wrong = at + 2 * 32 + 24  # its value's microseconds
    return resealed(plan[:wrong] + (10**7).to_bytes(8, "little") + plan[wrong + 8 :])


def itself(thaw: Thawer, frozen: Frozen, snapshot: Path, *, plain: bool, **more: Any) -> tuple[str, Any]:
    """The reason of the decline, and what the cold start says about itself."""
    script = [sandbox_layout(frozen.spec).python, "/var/task/itself.py"]
    why = ["/bin/sh", "-c", 'echo "declined: $QUICKTHAW_DECLINED"; exec "$@"', "sh", *script]
    argv = why if plain else ["/opt/native/thaw", names.SNAPSHOT_PATH, *why]
    telemetry = os.pipe()
    try:
        given = dict.fromkeys(GIVEN, telemetry[1])
        with thaw(frozen, snapshot, argv=argv, pass_fds=given, **more) as thawed:
            os.close(telemetry[1])
            reason = thawed.declined()
            assert reason is not None, thawed.output
            line = next(line for line in thawed.output.splitlines() if line.startswith(b"itself: "))
        found = json.loads(line.removeprefix(b"itself: "))
        found["telemetry"] = read_until(telemetry[0], None).decode()
    finally:
        os.close(telemetry[0])
    return reason, found


def test_what_outlives_exec_comes_back_with_a_thaw(late: Frozen, thaw: Thawer, tmp_path: Path) -> None:
    late.plan(tmp_path / "snapshot", "lazy")
    with thaw(late, tmp_path / "snapshot", modules=("late",)) as thawed:
        answer = thawed.answer()
    assert answer["results"] and not any(answer["results"].values()), answer["results"]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("context", "the wake context has 1"),
        ("timer", "cannot set interval timer 2"),
        ("directory", "no working directory /tmp/site/gone: no such file"),
    ],
)
def test_a_late_decline_leaves_nothing_of_the_snapshot_behind(
    late: Frozen, thaw: Thawer, what: str, said: str, tmp_path: Path
) -> None:
    snapshot = tmp_path / "snapshot"
    late.plan(snapshot, "lazy")
    plan = snapshot / names.NATIVE / "plan"
    more: dict[str, Any] = {"environ": {"_LAMBDA_TELEMETRY_LOG_FD": "5"}}
    if what == "context":
        more = {"environ": {**more["environ"], **LARGE}, "deny": ("memfd",)}
    if what == "timer":
        plan.write_bytes(timers_refused(plan.read_bytes()))
    if what == "directory":
        (tmp_path / "site" / "gone").rmdir()
    reason, found = itself(thaw, late, snapshot, plain=False, **more)
    assert reason.startswith(said)
    _, expected = itself(thaw, late, snapshot, plain=True, **more)
    assert expected["telemetry"] == "telemetry"
    assert found == expected
