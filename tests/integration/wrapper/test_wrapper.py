"""The exec wrapper in Lambda's sandbox: whatever keeps it from thawing, the original start is untouched.

A program that shows its own command line, environment and descriptors stands
for the runtime; started with and without the wrapper it must say the same.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from quickthaw import names
from quickthaw.emulator.run import EnvironmentRun, FunctionSpec, run_environment
from quickthaw.sandbox.layout import layout
from quickthaw.sandbox.process import start
from quickthaw.sandbox.spec import SandboxSpec

from tests.conftest import VICTIMS, Freezer, absent, damage, find_python

SHOW = """
import json, os, signal, sys
ignored = [int(number) for number in signal.Signals if signal.getsignal(number) is signal.SIG_IGN]
print(json.dumps({
    "argv": sys.argv, "orig": sys.orig_argv, "environ": dict(os.environ), "cwd": os.getcwd(),
    "fds": sorted(os.listdir("/proc/self/fd")), "ignored": ignored,
    "mask": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
}))
"""
WORDS = ["app.handler", "a b", "", "Grüße", "*"]
EVENT = b'{"numbers": [4, 5]}'
Starter = Callable[..., tuple[dict[str, Any], list[dict[str, Any]]]]


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A runtime that shows how it was started."""
    directory = tmp_path / "task"
    directory.mkdir(mode=0o755)
    (directory / "show.py").write_text(SHOW)
    return directory


@pytest.fixture
def show(needs_root: None, task: Path, layer: Path, python: Path) -> Starter:
    """show(wrapper=[...], snapshot=None, environ={}): what the runtime saw, and the wrapper's log lines."""

    def run(
        *, wrapper: list[str], snapshot: Path | None = None, environ: Mapping[str, str] | None = None,
        opt: Path = layer, runtime_python: Path = python,
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:  # fmt: skip
        spec = SandboxSpec(python=runtime_python, task=task, layer=opt, snapshot=snapshot)
        where = layout(spec)
        variables = {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": where.lang_lib, "LANG": "C.UTF-8"}
        variables |= {"KEPT": "as it was\n", "EMPTY": "", **(environ or {})}
        read, write = os.pipe()
        argv = [*wrapper, where.python, "/var/task/show.py", *WORDS]
        with start(spec, argv, variables, stdout=write, stderr=write) as process:
            os.close(write)
            with os.fdopen(read) as output:
                lines = output.read().splitlines()
            assert process.wait(30) == 0, lines
        documents = [json.loads(line) for line in lines]
        shown = [document for document in documents if "orig" in document]
        assert len(shown) == 1, lines
        return shown[0], [document for document in documents if "quickthaw" in document]

    return run


def damaged(snapshot: Path, out: Path) -> Path:
    """A copy whose plan is not what it was."""
    shutil.copytree(snapshot, out)
    damage(out / "native" / "plan")
    return out


@pytest.mark.parametrize("case", ["no snapshot", "engine off", "no such engine", "damaged", "several"])
def test_the_original_command_starts_unchanged(case: str, small: Path, tmp_path: Path, show: Starter) -> None:
    snapshot = {"no snapshot": None, "damaged": damaged(small, tmp_path / "copy")}.get(case, small)
    environ = {
        "engine off": {names.ENV_ENGINE: "off"},
        "no such engine": {names.ENV_ENGINE: "warp"},
        "several": {"AWS_LAMBDA_MAX_CONCURRENCY": "4"},
    }.get(case, {})
    plain, _ = show(wrapper=[], snapshot=snapshot, environ=environ)
    wrapped, log = show(wrapper=[names.BOOTSTRAP_PATH], snapshot=snapshot, environ=environ)
    assert wrapped == plain
    assert plain["argv"][1:] == WORDS and plain["environ"]["KEPT"] == "as it was\n"
    assert [line["engine"] for line in log] == ["cold"] and log[0]["reason"]


@pytest.mark.parametrize("engine", ["auto", "native"])
def test_another_runtime_than_the_frozen_one_is_declined(
    engine: str, small: Path, show: Starter, python: Path
) -> None:
    other = find_python("3.12")
    if other is None:
        absent("Python 3.12 is not on this machine")
    environ = {names.ENV_ENGINE: engine}
    plain, _ = show(wrapper=[], snapshot=small, environ=environ, runtime_python=other)
    wrapped, log = show(wrapper=[names.BOOTSTRAP_PATH], snapshot=small, environ=environ, runtime_python=other)
    assert wrapped == plain
    assert [line["engine"] for line in log] == ["cold"]


def serve(task: Path, layer: Path, snapshot: Path, python: Path, **env: str) -> EnvironmentRun:
    return run_environment(
        FunctionSpec(
            task=task, handler="app.handler", python=python, layer=layer, snapshot=snapshot, env=env
        ),
        [EVENT],
    )


def test_a_library_that_changed_under_the_snapshot_is_a_cold_start(
    freeze: Freezer, layer: Path, python: Path, tmp_path: Path
) -> None:
    task = tmp_path / "task"
    shutil.copytree(VICTIMS / "small", task)
    library(task, 1)
    with (task / "app.py").open("a") as app:
        app.write("\n\nLIBRARY = ctypes.CDLL('/var/task/libanswer.so')\nLIBRARY.answer()\n")
    snapshot = freeze(task, tmp_path / "snapshot")
    assert serve(task, layer, snapshot, python).engine == "native"
    library(task, 2)
    changed = serve(task, layer, snapshot, python)
    assert (changed.engine, changed.errors) == ("cold", ())
    assert "libanswer.so" in str(changed.reason)


def library(task: Path, answer: int) -> None:
    """Compiles libanswer.so; another answer has another build-id."""
    source = f"int answer(void) {{ return {answer}; }}".encode()
    command = ["gcc", "-shared", "-Wl,--build-id", "-x", "c", "-", "-o", str(task / "libanswer.so")]
    subprocess.run(command, input=source, check=True)


# --- the one slot, and other layers -------------------------------------------------------------------


@pytest.fixture
def merged(layer: Path, tmp_path: Path) -> Path:
    """/opt as Lambda merges it of our layer and another one, with a wrapper and packages of its own."""
    opt = tmp_path / "opt"
    shutil.copytree(layer, opt, symlinks=True)
    other = opt / "other-wrapper"
    other.write_text('#!/bin/sh\nexport FROM_OTHER=yes\nexec "$@"\n')
    other.chmod(0o755)
    (opt / "python" / "aws_lambda_powertools").mkdir()
    (opt / "python" / "aws_lambda_powertools" / "__init__.py").write_text("NAME = 'powertools'\n")
    site = opt / "python" / "lib" / "python3.11" / "site-packages"
    site.mkdir(parents=True)
    (site / "own_package.py").write_text("NAME = 'own'\n")
    return opt


def test_another_wrapper_that_ends_in_exec_goes_first(merged: Path, show: Starter) -> None:
    """Chained as documented: a script of the user's is the slot, and starts the other, then ours."""
    wrapper = merged / "chain"
    wrapper.write_text('#!/bin/sh\nexec /opt/other-wrapper /opt/bin/bootstrap "$@"\n')
    wrapper.chmod(0o755)
    plain, _ = show(wrapper=["/opt/other-wrapper"], opt=merged)
    chained, log = show(wrapper=["/opt/chain"], opt=merged)
    assert chained == plain and chained["environ"]["FROM_OTHER"] == "yes"
    assert [line["engine"] for line in log] == ["cold"]


def test_what_another_wrapper_sets_reaches_the_thawed_function(
    merged: Path, small: Path, python: Path, tmp_path: Path
) -> None:
    spec = FunctionSpec(
        task=VICTIMS / "small", handler="app.handler", python=python, layer=merged, snapshot=small
    )
    # The emulator, as Lambda, starts one wrapper: the chain stands in its place.
    chain = merged / "bin" / "bootstrap"
    chain.unlink()
    chain.write_text('#!/bin/sh\nexec /opt/other-wrapper /opt/bin/quickthaw "$@"\n')
    chain.chmod(0o755)
    (merged / "bin" / "quickthaw").symlink_to("../native/thaw")
    run = run_environment(spec, [EVENT])
    answer: Any = run.answers[0]
    assert (run.engine, answer["sum"]) == ("native", 100_009)
    assert answer["environ"]["FROM_OTHER"] == "yes"


def test_packages_of_other_layers_are_found_and_ours_hides_none(
    merged: Path, layer: Path, python: Path, tmp_path: Path, freeze: Freezer
) -> None:
    task = tmp_path / "task"
    shutil.copytree(VICTIMS / "small", task)
    with (task / "app.py").open("a") as app:
        app.write(
            "\n\nimport sys\nsys.path[:0] = ['/opt/python', '/opt/python/lib/python3.11/site-packages']\n"
            "import aws_lambda_powertools, own_package\n"
            "HOOKS.append(aws_lambda_powertools.NAME + own_package.NAME)\n"
        )
    snapshot = freeze(task, tmp_path / "snapshot", layer=merged)
    run = serve(task, merged, snapshot, python)
    answer: Any = run.answers[0]
    assert run.engine == "native", run.reason
    assert "powertoolsown" in answer["hooks"]
    assert {path.name for path in (layer / "python").iterdir()} == {"quickthaw"}, "one name, our own"
