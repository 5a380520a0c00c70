"""A checkpoint that is killed at any moment leaves the previous snapshot whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from quickthaw.checkpoint.verify import verify
from quickthaw.snapshot import manifest

from tests.conftest import EVENT, VICTIMS, Freezer

# Each stage is recognised by what has just appeared in the staging directory.
MOMENTS = [
    ".snapshot.lock",
    ".snapshot.new/images",
    ".snapshot.new/images/dump.log",
    ".snapshot.new/images/pages-1.img",
    ".snapshot.new/images/pages-1.comp.img",
    ".snapshot.new/manifest.json",
]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_checkpoint_leaves_the_old_snapshot(
    moment: str, small: Path, layer: Path, tmp_path: Path
) -> None:
    out = tmp_path / "snapshot"
    subprocess.run(["cp", "-a", str(small), str(out)], check=True)
    before = manifest.read(str(out)).id
    (tmp_path / "event.json").write_text(EVENT)
    command = [sys.executable, "-c", "from quickthaw.cli.app import main; main()"]
    command += [
        "checkpoint",
        "--task",
        str(VICTIMS / "small"),
        "--handler",
        "app.handler",
        "--layer",
        str(layer),
    ]
    command += ["--event", str(tmp_path / "event.json"), "--out", str(out), "--level", "12"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        _wait_for(tmp_path / moment, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert [one.problem for one in verify(out) if one.problem] == []
    if moment != MOMENTS[-1]:  # after the manifest only the rename is left, and it may win the race
        assert manifest.read(str(out)).id == before
    assert _without_process(out), "what the checkpoint had started is gone"


def test_the_next_checkpoint_tidies_up_after_a_killed_one(
    small: Path, freeze: Freezer, tmp_path: Path
) -> None:
    out = tmp_path / "snapshot"
    left = tmp_path / ".snapshot.new" / "images"
    left.mkdir(parents=True)
    (left / "pages-1.img").write_bytes(b"of another dump")
    freeze(VICTIMS / "small", out)
    assert [one.problem for one in verify(out) if one.problem] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["snapshot"]


def _wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        if process.poll() is not None:
            words = process.stderr.read().decode() if process.stderr else ""
            pytest.fail(f"the checkpoint ended before {path.name}: {words}")
        if time.monotonic() > deadline:
            pytest.fail(f"{path} did not appear")
        os.sched_yield()


def _without_process(out: Path) -> bool:
    """True when no process works below the staging directory any more."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not any(_mounts(pid, str(out.parent)) for pid in filter(str.isdigit, os.listdir("/proc"))):
            return True
    return False


def _mounts(pid: str, directory: str) -> bool:
    try:
        mounts = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    except OSError:
        return False
    # Whoever else freezes something on this machine mounts another directory there.
    own = "/".join(Path(directory).parts[-2:])
    return any("/tmp/quickthaw-checkpoint" in line and own in line for line in mounts)
