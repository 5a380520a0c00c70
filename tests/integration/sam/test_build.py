"""From what `sam build` made to an answer: as Lambda unpacks it, and as Lambda would exec it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from quickthaw.bench.answers import SHARED_CREDENTIALS, difference
from quickthaw.emulator.run import EnvironmentRun, FunctionSpec, run_environment
from quickthaw.publish.built import loads

from tests.conftest import ROOT, Freezer
from tests.integration.checkpoint.test_allow import thawed, write

EVENTS = [(ROOT / "events" / name).read_bytes() for name in ("risk.json", "risk-large.json")]


def start(built: Path, python: Path, *, thawed: bool) -> EnvironmentRun:
    """One environment of the cold or of the thawed function, in the sandbox that is like Lambda's."""
    return run_environment(
        FunctionSpec(
            task=built / ("DemoThawed" if thawed else "DemoCold"),
            handler="app.handler",
            python=python,
            layer=built / "QuickthawLayer" if thawed else None,
            snapshot=built / "SnapshotLayer" / "snapshot" if thawed else None,
            env=SHARED_CREDENTIALS,
            log_format="JSON",
        ),
        EVENTS,
    )


def test_what_sam_built_is_thawed_through_the_wrapper_and_answers_as_a_cold_start(
    built: Path, runtime_python: Path
) -> None:
    cold = start(built, runtime_python, thawed=False)
    thawed = start(built, runtime_python, thawed=True)
    assert (thawed.engine, thawed.errors) == ("native", ()), thawed.reason
    assert cold.errors == ()
    assert difference(cold.answers, thawed.answers, shared_credentials=True) is None


def test_without_its_snapshot_the_same_function_starts_cold(
    built: Path, runtime_python: Path, tmp_path: Path
) -> None:
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "absent").write_text("what build-SnapshotLayer leaves without SNAPSHOT\n")
    run = run_environment(
        FunctionSpec(
            task=built / "DemoThawed", handler="app.handler", python=runtime_python,
            layer=built / "QuickthawLayer", snapshot=tmp_path / "snapshot",
        ),
        EVENTS[:1],
    )  # fmt: skip
    assert (run.engine, run.errors) == ("cold", ())
    assert "no snapshot" in str(run.reason)


def test_lambda_would_take_every_function_with_its_layers(built: Path) -> None:
    found = loads(built, zipped=False)
    assert len(found) == 5
    assert [load.problems for load in found] == [()] * 5


def test_every_layer_is_what_its_makefile_makes_without_sam(built: Path, tmp_path: Path) -> None:
    environ = {
        "PATH": os.environ["PATH"],
        "SNAPSHOT": str(built.parent / built.name.replace("python", "snapshot-")),
    }
    for layer in ("SnapshotLayer", "ReviewLayer"):
        out = tmp_path / layer
        command = ["make", "-s", "-C", str(ROOT / "layer"), f"build-{layer}", f"ARTIFACTS_DIR={out}"]
        subprocess.run(command, check=True, env=environ, capture_output=True)
        assert digests(out) == digests(built / layer)


def digests(tree: Path) -> dict[str, str]:
    """SHA-256 of every file."""
    return {
        str(path.relative_to(tree)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in tree.rglob("*")
        if path.is_file()
    }


def test_a_snapshot_that_lambda_cannot_use_is_no_layer(tmp_path: Path) -> None:
    """The makefile's refusals; they need no SAM."""
    relative = tmp_path / "snapshot"
    relative.mkdir()
    for setting, reason in (
        ("snapshot", "must be absolute"),
        (str(tmp_path / "nowhere"), "no snapshot at"),
        (str(relative), "no snapshot at"),
    ):
        done = make_snapshot_layer(tmp_path / "out", setting)
        assert done.returncode == 2 and reason in done.stderr, done.stderr
    (relative / "manifest.json").write_text("{}")
    done = make_snapshot_layer(tmp_path / "out", str(relative))
    assert done.returncode == 2 and "no native plan" in done.stderr


@pytest.mark.criu
def test_a_layer_with_images_has_all_that_criu_needs(
    freeze: Freezer, python: Path, layer: Path, tmp_path: Path
) -> None:
    task = write(tmp_path, "", "event")
    snapshot = freeze(task, tmp_path / "snapshot", events=[], keep_uncompressed=True)
    for images, engines in (("", ("native",)), ("1", ("native", "criu"))):
        out = tmp_path / f"layer{images}"
        done = make_snapshot_layer(out, str(snapshot), images)
        assert done.returncode == 0, done.stderr
        assert not list(out.rglob("pages-1.img"))
        for engine in engines:
            assert thawed(task, out / "snapshot", python, layer, engine) == {}


def make_snapshot_layer(out: Path, snapshot: str, images: str = "") -> subprocess.CompletedProcess[str]:
    """Runs the target in a bare copy of its directory, as SAM does."""
    copy = out.parent / "layer"
    copy.mkdir(exist_ok=True)
    shutil.copy(ROOT / "layer" / "Makefile", copy)
    command = ["make", "-C", str(copy), "build-SnapshotLayer", f"ARTIFACTS_DIR={out}"]
    environ = {"PATH": os.environ["PATH"], "SNAPSHOT": snapshot, "IMAGES": images}
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def test_the_sizes_are_there_for_programs_too(built: Path, tmp_path: Path) -> None:
    command = [".venv/bin/python", "-m", "quickthaw.publish.built", "--json", str(built)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    functions = {entry["function"].split()[0]: entry for entry in json.loads(done.stdout)}
    thawed = functions["DemoThawed"]
    assert thawed["layers"] == 2
    assert 0 < thawed["unzipped"] <= thawed["unzipped_limit"] == 262_144_000
    assert sum(part["unzipped"] for part in thawed["parts"]) == thawed["unzipped"]
