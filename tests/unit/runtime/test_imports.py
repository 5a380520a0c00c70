"""What the restore path imports, and when, looked at in a fresh process."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

LIBLZ4 = ROOT / "build" / "layer" / "lib" / "liblz4.so.1"
PACKAGE = ROOT / "layer" / "python"

# Modules beside the interpreter's own start-up ones. Each costs every thaw; a new one needs a reason.
BEFORE_CRIU = {
    *(
        "_json",
        "_signal",
        "select",
        "zlib",
        "binascii",
        "struct",
        "_struct",
        "math",
        "fcntl",
        "_socket",
        "array",
    ),
    "__future__",
}
AFTER_CRIU = BEFORE_CRIU | {
    *("_queue", "_ctypes", "ctypes", "ctypes._endian", "ctypes._layout", "types"),
    *("os", "os.path", "posixpath", "genericpath", "stat", "_stat", "_collections_abc"),  # by ctypes
}

PROBE = """
import sys
at_start = set(sys.modules)
sys.path.insert(0, {package!r})
import posix, time
def seen(event, arguments):
    if event == "os.posix_spawn":
        spawned.append(sorted(set(sys.modules) - at_start))
spawned = []
sys.addaudithook(seen)
from quickthaw import names
from quickthaw.errors import Declined
from quickthaw.runtime import checks, restore, thaw
from quickthaw.runtime.opened import Opened
from quickthaw.snapshot import manifest
names.LIBLZ4_PATH = {liblz4!r}
opened = Opened({snapshot!r})
found = manifest.read({snapshot!r}, directory=opened.fd)
opened.check(found)
attempt = restore.Restoration(
    found, opened, seen={{}}, mode={mode!r}, environ={{"QUICKTHAW_CRIU": "/bin/false"}},
    declined=None, check_s=0.0, started_s=time.monotonic(),
)
try:
    attempt.run()
except Declined:
    pass
from quickthaw.snapshot import plainjson
print(plainjson.dumps([spawned[0], sorted(set(sys.modules) - at_start)]))
"""


def imported(python: Path, snapshot: Path, mode: str) -> tuple[set[str], set[str]]:
    """Modules at the moment CRIU is spawned, and at the end."""
    script = PROBE.format(package=str(PACKAGE), snapshot=str(snapshot), mode=mode, liblz4=str(LIBLZ4))
    done = subprocess.run(
        [python, "-I", "-S", "-c", script], capture_output=True, check=True, env={"PATH": os.defpath}
    )
    before, after = json.loads(done.stdout)
    return {name for name in before if not own(name)}, {name for name in after if not own(name)}


def own(name: str) -> bool:
    return name.partition(".")[0] == "quickthaw"


@pytest.mark.parametrize("mode", ["grow", "async", "stream", "plain"])
def test_criu_is_spawned_before_anything_heavy_is_imported(mode: str, small: Path, python: Path) -> None:
    before, _ = imported(python, small, mode)
    assert before <= BEFORE_CRIU, before - BEFORE_CRIU


@pytest.mark.parametrize("mode", ["grow", "async", "sync", "plain"])
def test_the_restore_path_imports_nothing_else(mode: str, small: Path, python: Path) -> None:
    _, after = imported(python, small, mode)
    assert after <= AFTER_CRIU, after - AFTER_CRIU


def test_the_layer_holds_nothing_of_the_developers_side(layer: Path) -> None:
    rooms = sorted(path.name for path in (layer / "python" / "quickthaw").iterdir() if path.is_dir())
    assert rooms == ["__pycache__", "probe", "runtime", "snapshot"]
