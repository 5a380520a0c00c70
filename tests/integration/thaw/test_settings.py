"""What the import set for its process holds after a thaw, or there is no thaw."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path

from tests.conftest import Freezer
from tests.integration.thaw.conftest import VICTIM, Thaw, assert_cold

SET = """
import contextlib, resource
with contextlib.suppress(ValueError):
    resource.setrlimit(resource.RLIMIT_MSGQUEUE, (1000, resource.getrlimit(resource.RLIMIT_MSGQUEUE)[1]))
"""


def test_a_limit_that_the_new_environment_does_not_permit_is_a_cold_start(
    freeze: Freezer, thaw: Thaw, tmp_path: Path
) -> None:
    task = tmp_path / "task"
    shutil.copytree(VICTIM, task)
    with (task / "app.py").open("a") as app:
        app.write(SET)
    snapshot = freeze(task, tmp_path / "snapshot")
    assert thaw(snapshot, task=task, engine="native").engine == "native"

    def lower(pid: int) -> None:
        resource.prlimit(pid, resource.RLIMIT_MSGQUEUE, (500, 500))

    run = thaw(snapshot, task=task, engine="native", before_exec=lower)
    assert_cold(run, "settings: what the import set for its process cannot be set here")


def test_files_that_the_import_left_in_tmp_are_missed_by_no_thaw(
    freeze: Freezer, thaw: Thaw, tmp_path: Path
) -> None:
    task = tmp_path / "task"
    shutil.copytree(VICTIM, task)
    with (task / "app.py").open("a") as app:
        app.write("\nopen('/tmp/model', 'w').close()\n")
    snapshot = freeze(task, tmp_path / "snapshot")
    run = thaw(snapshot, task=task, engine="criu")
    assert run.engine == "cold"
    assert run.reason == "CRIU does not give back /tmp/model, which the import left in /tmp"
