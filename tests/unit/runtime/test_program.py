"""The original command is found where execvp(3) finds it, or its absence is told as a shell tells it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

BECOME = f"""
import sys
sys.path.insert(0, {str(ROOT / "layer" / "python")!r})
from quickthaw.runtime import program
environ = {{"PATH": sys.argv[1], "SAID": "h\\udcffi"}} if sys.argv[1] else {{"SAID": "hi"}}
program.become(sys.argv[2:], environ)
"""


def become(path: str, *command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    argv = [sys.executable, "-I", "-S", "-c", BECOME, path, *command]
    return subprocess.run(argv, capture_output=True, cwd=cwd)


@pytest.mark.parametrize("place", ["first", "last", "here"])
def test_a_program_is_looked_for_in_path(place: str, tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    own.mkdir()
    other.mkdir()
    (other / "talk").write_text("not to be executed")
    (own / "talk").write_text("#!/bin/sh\necho $SAID $1\n")
    (own / "talk").chmod(0o755)
    path = {"first": f"{own}:{other}", "last": f"/nonexistent:{other}:{own}", "here": f"{other}:"}[place]
    done = become(path, "talk", "there", cwd=own)
    assert (done.returncode, done.stdout) == (0, b"h\xffi there\n")


def test_without_a_path_there_are_the_usual_places() -> None:
    done = become("", "sh", "-c", "echo $SAID")
    assert (done.returncode, done.stdout) == (0, b"hi\n")


@pytest.mark.parametrize("command", ["nowhere", "/nonexistent/nowhere"])
def test_what_is_not_there_is_told(command: str) -> None:
    done = become("/usr/bin", command)
    assert done.returncode == 127
    assert done.stderr.startswith(f"quickthaw: cannot start ['{command}']: ".encode())
