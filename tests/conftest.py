"""What many tests start from: the built layer, the interpreters of this machine, small snapshots."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from quickthaw.checkpoint.order import CheckpointOrder
from quickthaw.checkpoint.run import checkpoint
from quickthaw.emulator.site import runtime_site

ROOT = Path(__file__).resolve().parent.parent
VICTIMS = ROOT / "tests" / "victims"
EVENT = '{"numbers": [1, 2, 3]}'
FREEZERS = frozenset({"freeze", "freeze_victim"})  # fixtures
MANY = 100  # tests
ROOM_BYTES = 1_200_000_000  # of all snapshots that several tests share, and the largest of one test


def pytest_collection_finish(session: pytest.Session) -> None:
    """Says at once when there is no room; else each test from some point on fails in words of its own."""
    freezing = sum(not FREEZERS.isdisjoint(getattr(item, "fixturenames", ())) for item in session.items)
    place = tempfile.gettempdir()
    free = shutil.disk_usage(place).free
    if freezing >= MANY and free < ROOM_BYTES and not session.config.option.collectonly:
        pytest.exit(
            f"{place} has room for {free / 1e9:.1f} GB, tests that freeze take {ROOM_BYTES / 1e9:.1f} GB: "
            "make room, or set TMPDIR to a place that has it",
            returncode=1,
        )


def find_python(version: str) -> Path | None:
    """An interpreter of that version on this machine, if there is one that runs."""
    homes = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python3"))
    if homes:
        return homes[0]
    found = shutil.which(f"python{version}", path="/usr/bin:/usr/local/bin")
    return Path(found) if found else None


def absent(reason: str) -> None:
    """Skips with the name of what is missing; where CI says that it must be there, fails."""
    if os.environ.get("CI") and "Python" not in reason:
        pytest.fail(f"CI must have it: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def layer() -> Path:
    """What `make setup` built for /opt."""
    return ROOT / "build" / "layer"


@pytest.fixture(scope="session")
def python() -> Path:
    """The interpreter that most functions of the tests run on: the base of this environment's."""
    return Path(sys.executable)


@pytest.fixture(scope="session", params=["3.11", "3.12", "3.13"])
def each_python(request: pytest.FixtureRequest) -> Path:
    """Every Python that Lambda offers and we support."""
    found = find_python(request.param)
    if found is None:
        absent(f"Python {request.param} is not on this machine")
        raise AssertionError
    return found


@pytest.fixture(scope="session")
def needs_root() -> None:
    """Namespaces and CRIU need root."""
    if os.geteuid() != 0:
        absent("this test needs root")


def damage(path: Path) -> None:
    """Flips one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


Freezer = Callable[..., Path]


@pytest.fixture(scope="session")
def freeze(needs_root: None, layer: Path, python: Path) -> Freezer:
    """Makes a snapshot of a victim: freeze(task, out, **more of CheckpointOrder)."""

    def make(task: Path, out: Path, **more: object) -> Path:
        settings: dict[str, object] = {
            "handler": "app.handler",
            "events": [("event.json", EVENT)],
            "python": python,
            "layer": layer,
            "level": 3,
            "keep_uncompressed": True,
            **more,
        }
        settings.setdefault("runtime", runtime_site(Path(str(settings["python"]))))
        checkpoint(CheckpointOrder(task=task, out=out, **settings))  # type: ignore[arg-type]
        return out

    return make


@pytest.fixture(scope="session")
def small(freeze: Freezer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot of the small victim; read it, never write to it."""
    return freeze(VICTIMS / "small", tmp_path_factory.mktemp("small") / "snapshot")
