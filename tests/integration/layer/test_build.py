"""The layer is made from its own directory alone, holds what /opt must hold, and the same bytes each time."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MAX_BYTES = 16_000_000  # unzipped; Lambda takes 250 MB, most of which are the function's


def build(copy: Path, out: Path, layer: Path, *, pythons: str = sys.executable) -> None:
    command = ["make", "-C", str(copy), "build-QuickthawLayer", f"ARTIFACTS_DIR={out}"]
    command += [f"CACHE={layer.parent / 'cache'}", f"PYTHON={sys.executable}", f"PYTHONS={pythons}"]
    environ = {"PATH": os.environ["PATH"], "HOME": str(copy.parent)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare copy of layer/, as SAM makes it; nothing beside it."""
    target = tmp_path_factory.mktemp("sam") / "layer"
    shutil.copytree(ROOT / "layer", target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


@pytest.fixture(scope="module")
def built(copy: Path, layer: Path) -> Path:
    out = copy.parent / "artifacts"
    build(copy, out, layer)
    return out


def contents(tree: Path) -> dict[str, tuple[int, float, str]]:
    return {
        str(path.relative_to(tree)): (
            path.stat().st_mode,
            path.stat().st_mtime,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in sorted(tree.rglob("*"))
    }


def test_the_same_sources_give_the_same_bytes_modes_and_times(built: Path, copy: Path, layer: Path) -> None:
    build(copy, copy.parent / "again", layer)
    assert contents(copy.parent / "again") == contents(built)


def test_building_over_an_older_layer_leaves_nothing_of_it(built: Path, copy: Path, layer: Path) -> None:
    expected = contents(built)
    (built / "python/quickthaw/runtime/gone.py").write_text("x = 1\n")
    (built / "criu/lib/gone.so").write_text("x")
    build(copy, built, layer)
    assert contents(built) == expected


def test_only_what_runs_on_lambda_is_in_it(built: Path) -> None:
    top = {path.name for path in built.iterdir()}
    assert top == {"bin", "bootstrap", "criu", "lib", "python", "native"}
    package = built / "python/quickthaw"
    names = {path.name for path in package.iterdir()}
    assert names == {"__init__.py", "names.py", "errors.py", "snapshot", "runtime", "probe", "__pycache__"}
    for entry in ("bin/bootstrap", "bootstrap"):
        assert (built / entry).resolve() == built / "native/thaw" and os.access(built / entry, os.X_OK)


def test_it_is_small(built: Path) -> None:
    assert sum(path.stat().st_size for path in built.rglob("*") if path.is_file()) <= MAX_BYTES


def test_everybody_may_read_it(built: Path) -> None:
    for path in built.rglob("*"):
        assert path.stat().st_mode & 0o055 == (
            0o055 if path.is_dir() else path.stat().st_mode & 0o011 | 0o044
        )


def test_bytecode_asks_for_no_source_files_date(built: Path) -> None:
    sources = list((built / "python").rglob("*.py"))
    assert sources
    for source in sources:
        bytecode = Path(importlib.util.cache_from_source(str(source)))
        flags = int.from_bytes(bytecode.read_bytes()[4:8], "little")
        assert flags == 0b01, f"{bytecode} is not an unchecked-hash pyc"


def test_tracebacks_name_the_path_on_lambda(built: Path) -> None:
    source = built / "python/quickthaw/names.py"
    assert (
        b"/opt/python/quickthaw/names.py" in Path(importlib.util.cache_from_source(str(source))).read_bytes()
    )


def test_without_a_place_to_build_in_it_says_who_sets_it(copy: Path) -> None:
    done = subprocess.run(
        ["make", "-C", str(copy), "build-QuickthawLayer"],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.returncode == 2
    assert "ARTIFACTS_DIR" in done.stderr
