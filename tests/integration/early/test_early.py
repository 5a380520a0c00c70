"""The bootstrap goes on with the CRIU that was started before it, or ends it and starts its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from quickthaw import names
from quickthaw.checkpoint import describe
from quickthaw.snapshot import manifest

from tests.integration.thaw.conftest import VICTIM, Thaw, answers, assert_cold, bootstrap_lines
from tests.integration.thaw.conftest import thaw as thaw

from .conftest import rewrite

pytestmark = [pytest.mark.criu, pytest.mark.sandbox]

# Waits until its parent is Python, and tells who started it, by the work directory, before it becomes CRIU.
TELLING = f"""#!/bin/sh
until grep -q python /proc/$PPID/comm; do :; done
early=$(tr '\\0' '\\n' </proc/$PPID/environ | sed -n 's/^QUICKTHAW_STARTED=.* //p')
case "$*" in *"--work-dir=$early "*) echo started early >&2;; *) echo started by the bootstrap >&2;; esac
exec {names.CRIU_PATH} "$@"
"""


def telling(tmp_path: Path) -> Path:
    task = tmp_path / "task"
    shutil.copytree(VICTIM, task)
    (task / "criu").write_text(TELLING)
    (task / "criu").chmod(0o755)
    return task


def told(log: tuple[str, ...]) -> list[str]:
    """Who started CRIU, for each CRIU."""
    return [line.removeprefix("started ") for line in log if line.startswith("started ")]


def resealed(snapshot: Path) -> None:
    """The manifest agrees with what lies there."""
    body = {key: value for key, value in manifest.read(str(snapshot)).body.items() if key != "checksum"}
    body["files"] = describe.snapshot_files(snapshot)
    (snapshot / names.MANIFEST).write_bytes(manifest.seal(body))


@pytest.mark.parametrize(("mode", "who"), [(None, "early"), ("grow", "early"), ("async", "by the bootstrap")])
def test_criu_runs_before_python_does_in_mode_grow(
    mode: str | None, who: str, small: Path, tmp_path: Path, thaw: Thaw
) -> None:
    run = thaw(small, mode=mode, task=telling(tmp_path), env={names.ENV_CRIU: "/var/task/criu"})
    assert (run.engine, run.reason) == ("criu", None)
    assert told(run.log) == [who]
    (line,) = bootstrap_lines(run)
    assert line["total_s"] > line["restore_s"] > line["decompress_s"] > 0
    assert line["total_s"] > line["check_s"] > 0
    assert answers(run)[1]["tmp"] == []


@pytest.mark.parametrize(
    "change",
    [{"c images/timens-0.img\n": ""}, {"c images/start\n": ""}, {"K cache/criu.kdat\n": ""}],
    ids=["image", "start", "cache"],
)
def test_a_criu_without_all_that_was_checked_is_ended_and_another_one_started(
    change: dict[str, str], small: Path, tmp_path: Path, thaw: Thaw
) -> None:
    snapshot = tmp_path / "snapshot"
    shutil.copytree(small, snapshot)
    rewrite(snapshot, change)
    resealed(snapshot)
    run = thaw(snapshot, task=telling(tmp_path), env={names.ENV_CRIU: "/var/task/criu"})
    assert (run.engine, run.reason) == ("criu", None), run.log
    assert told(run.log)[-1] == "by the bootstrap"
    assert answers(run)[1]["tmp"] == []
    assert sum("criu" in command for command in answers(run)[1]["commands"]) == 0


def test_a_snapshot_of_before_is_thawed_without(small: Path, tmp_path: Path, thaw: Thaw) -> None:
    snapshot = tmp_path / "snapshot"
    shutil.copytree(small, snapshot)
    (snapshot / names.IMAGES / names.START).unlink()
    resealed(snapshot)
    run = thaw(snapshot, task=telling(tmp_path), env={names.ENV_CRIU: "/var/task/criu"})
    assert (run.engine, told(run.log)) == ("criu", ["by the bootstrap"])


@pytest.mark.parametrize(
    "said",
    [
        "",
        "1 2 3",
        "1 2 3 4 5 6 /tmp/quickthaw-1-1",
        "1 2 3 4 5 6 7 /tmp/quickthaw-1-1",
        "x 2 3 4 5 6 7 /tmp/quickthaw-1-1",
        "99999999999999999999 2 3 4 5 6 7 /tmp/quickthaw-1-1",
        "1 2 3 4 5 6 7 /etc",
    ],
)
def test_a_variable_that_nobody_meant_changes_nothing(said: str, small: Path, thaw: Thaw) -> None:
    """One that a function has by accident, in a mode in which nothing sets it."""
    run = thaw(small, mode="async", env={names.ENV_STARTED: said})
    assert (run.engine, run.reason) == ("criu", None), run.log
    assert_same_environment(run.log)


def assert_same_environment(log: tuple[str, ...]) -> None:
    assert not [line for line in log if "Traceback" in line], log


def test_what_was_begun_is_ended_where_the_snapshot_is_not_wanted(
    small: Path, tmp_path: Path, thaw: Thaw
) -> None:
    run = thaw(small, task=telling(tmp_path), env={names.ENV_CRIU: "/var/task/criu", "_HANDLER": "app.other"})
    assert_cold(run, "the snapshot is of handler")
