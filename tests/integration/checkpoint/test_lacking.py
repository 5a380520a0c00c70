"""What only one engine, or none, gives back: refused with the rest, or told by every command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from quickthaw import names
from quickthaw.checkpoint import lacking, refuse
from quickthaw.checkpoint.kinds import allowed
from quickthaw.emulator.run import FunctionSpec, run_environment
from quickthaw.errors import CannotFreeze
from quickthaw.snapshot import manifest

from tests.conftest import Freezer

DATABASE = "import sqlite3\nBASE = sqlite3.connect('/tmp/base.sqlite')\nBASE.execute('create table t (n)')\n"
LEFT = "open('/tmp/model', 'w').close()\n"
LACKS = "CRIU does not give back /tmp/model, which the import left in /tmp"


@pytest.fixture
def task(tmp_path: Path) -> Path:
    directory = tmp_path / "task"
    directory.mkdir()
    return directory


def write(task: Path, body: str, answer: str = "None") -> Path:
    (task / "app.py").write_text(f"{body}\ndef handler(event, context):\n    return {answer}\n")
    return task


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", "from quickthaw.cli.app import main; main()", *map(str, arguments)]
    return subprocess.run(argv, capture_output=True, text=True)


def test_every_refusal_is_told_at_once_with_its_holder(task: Path, freeze: Freezer, tmp_path: Path) -> None:
    body = "import os, socket\nS = socket.create_server(('127.0.0.1', 0))\n"
    body += "os.dup2(os.open('/dev/null', os.O_RDWR), 1)\n"
    with pytest.raises(CannotFreeze) as caught:
        freeze(write(task, body + DATABASE), tmp_path / "snapshot", events=[])
    for said in (
        "a TCP socket listening",
        "/tmp/base.sqlite, an open SQLite database, held by app.BASE (Connection)",
        "--allow databases",
        "descriptor 1 is not the standard output that it was given",
    ):
        assert said in str(caught.value), said
    with pytest.raises(CannotFreeze) as caught:
        freeze(
            write(task, body + DATABASE),
            tmp_path / "snapshot",
            events=[],
            allow=allowed(["databases,listeners"]),
        )
    assert "standard output" in str(caught.value) and "SQLite" not in str(caught.value)


def test_a_database_that_is_allowed_can_be_read_and_must_be_connected_to_again(
    task: Path, freeze: Freezer, python: Path, layer: Path, tmp_path: Path
) -> None:
    body = """
def wrote(base):
    try:
        with base:
            base.execute("insert into t values (1)")
    except sqlite3.OperationalError as error:
        return str(error)
"""
    answer = (
        "[wrote(BASE), wrote(sqlite3.connect('/tmp/base.sqlite')), list(BASE.execute('select n from t'))]"
    )
    write(task, DATABASE + body, answer)
    out = freeze(task, tmp_path / "snapshot", events=[], allow=allowed(["databases"]))
    assert manifest.read(str(out)).body["process"]["allowed"][0].startswith("databases: descriptor ")
    spec = FunctionSpec(
        task=task, handler="app.handler", python=python, layer=layer, snapshot=out, engine="native"
    )
    run = run_environment(spec, [b"{}"])
    refused = "attempt to write a readonly database"
    assert (run.engine, run.errors, run.answers) == ("native", (), ([refused, None, [[1]]],)), run.log


def test_what_the_criu_engine_lacks_is_shown_by_every_command(
    task: Path, layer: Path, needs_root: None, tmp_path: Path
) -> None:
    out = tmp_path / "snapshot"
    made = command(
        "checkpoint", "--task", write(task, LEFT), "--handler", "app.handler", "--layer", layer, "--out", out,
        "--json",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    what = [LACKS.removeprefix("CRIU does not give back ")]
    assert json.loads(made.stdout)["criu_lacks"] == what
    seen = json.loads(command("inspect", out, "--json").stdout)
    assert (seen["criu_lacks"], seen["kernel_cache"]) == (what, True)
    assert f"starts cold: {LACKS}" in " ".join(command("inspect", out).stdout.replace("│", " ").split())
    verified = command("verify", out)
    assert verified.returncode == 0, verified.stderr
    assert f"criu engine starts cold: {LACKS}" in " ".join(verified.stdout.split())
    findings: Any = json.loads(command("verify", out, "--json").stdout)
    assert {"what": f"criu engine starts cold: {LACKS}", "problem": None} in findings


def test_a_library_with_its_own_openssl_is_refused_where_only_criu_could_thaw(small: Path) -> None:
    lacks = lacking.of_criu(small / names.IMAGES, (), ["/var/task/libarrow.so"])
    assert [(one.kind, one.native) for one in lacks] == [("randomness", True)]
    with pytest.raises(CannotFreeze, match=r"OpenSSL inside /var/task/libarrow\.so") as caught:
        refuse.enforce(lacks, why=" for the criu engine alone")
    assert "--allow" not in str(caught.value)


def test_files_left_in_tmp_are_refused_without_a_native_plan(
    task: Path, freeze: Freezer, tmp_path: Path
) -> None:
    with pytest.raises(CannotFreeze, match=r"(?s)criu engine alone .*/tmp/model, which.*--allow tmp"):
        freeze(write(task, LEFT), tmp_path / "snapshot", events=[], layout="none")
