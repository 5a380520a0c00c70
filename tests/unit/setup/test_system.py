"""`.ci/system` names what a machine lacks, and installs nothing where it may not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
TOOLS = ("sh", "grep", "ldconfig", "tail", "gcc", "make", "ps", "lz4", "bwrap", "dpkg-deb")


def machine(directory: Path, *, without: frozenset[str] = frozenset(), uid: int = 1000) -> Path:
    """A directory for PATH: a machine of somebody who is not root, with all tools but those."""
    directory.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool, path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
        if found is not None and tool not in without:
            (directory / tool).symlink_to(found)
    script(directory / "id", f"echo {uid}")
    script(directory / "apt-get", 'echo "$@" >>"$APT_CALLS"')
    return directory


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def run(path: Path, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": str(path), "APT_CALLS": str(path / "apt-calls")}
    return subprocess.run(
        ["/bin/sh", str(ROOT / ".ci/system"), python], cwd=ROOT, env=environ, capture_output=True, text=True
    )


def test_a_complete_machine_is_left_alone(tmp_path: Path) -> None:
    done = run(machine(tmp_path / "bin"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_somebody_without_root_is_told_the_one_command(tmp_path: Path) -> None:
    done = run(machine(tmp_path / "bin", without=frozenset({"bwrap", "lz4"})))
    assert done.returncode == 1
    assert "As root, run:  apt-get install -y --no-install-recommends bubblewrap lz4\n" in done.stderr
    assert not (tmp_path / "bin/apt-calls").exists()


def test_root_gets_only_what_is_missing(tmp_path: Path) -> None:
    path = machine(tmp_path / "bin", without=frozenset({"bwrap"}), uid=0)
    done = run(path)
    assert done.returncode == 0, done.stderr
    calls = (path / "apt-calls").read_text()
    assert "update" in calls
    assert "install -y --no-install-recommends bubblewrap" in calls
    assert "lz4" not in calls


def test_a_python_without_ensurepip_needs_debians_venv_package(tmp_path: Path) -> None:
    # as Debian's own python3 is before python3-venv is there
    python = script(tmp_path / "python3", 'case "$*" in *ensurepip*) exit 1 ;; esac')
    done = run(machine(tmp_path / "bin"), str(python))
    assert done.returncode == 1
    assert "--no-install-recommends python3-venv\n" in done.stderr


def test_a_python_that_is_too_old_is_refused(tmp_path: Path) -> None:
    text = "case $2 in *version_info*) exit 1 ;; esac; echo Python 3.9.2"
    done = run(machine(tmp_path / "bin"), str(script(tmp_path / "python3", text)))
    assert done.returncode == 1
    assert "Python 3.9.2 is too old, 3.11 is needed" in done.stderr


def test_a_python_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = run(machine(tmp_path / "bin"), "/nowhere/python3")
    assert done.returncode == 1
    assert "there is no /nowhere/python3; give another as PYTHON=" in done.stderr
