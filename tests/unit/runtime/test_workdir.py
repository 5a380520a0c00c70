"""A sweep of /tmp removes our own directories whose makers are no more, and nothing by way of a link."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from quickthaw.runtime import workdir

from tests.conftest import ROOT, absent

MAKE = f"""
import sys
sys.path.insert(0, {str(ROOT / "layer" / "python")!r})
from quickthaw.runtime.workdir import WorkDirectory
made = WorkDirectory(sys.argv[1])
open(sys.argv[1] + "/pages", "w").close()
print("made", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A path that a work directory may have; whatever is there in the end is removed."""
    path = Path(f"{workdir.PREFIX}test-{os.getpid()}-{os.urandom(4).hex()}")
    yield path
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        os.chown(path, os.geteuid(), -1)
        workdir._remove(str(path))


def test_a_directory_is_removed_when_its_maker_is_killed_and_not_before(place: Path) -> None:
    command = [sys.executable, "-I", "-S", "-c", MAKE, str(place)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as maker:
        assert maker.stdout is not None and maker.stdout.readline() == "made\n"
        workdir.sweep()
        assert sorted(path.name for path in place.iterdir()) == ["lock", "pages"]
        maker.kill()
    workdir.sweep()
    assert not place.exists()


def looks_left(place: Path) -> None:
    """As a killed bootstrap leaves it."""
    place.mkdir(mode=0o700)
    for name in ("lock", "pages"):
        (place / name).touch(0o600)


def test_a_link_in_the_place_of_a_directory_is_not_followed(place: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    looks_left(elsewhere)
    place.symlink_to(elsewhere)
    workdir.sweep()
    assert sorted(path.name for path in elsewhere.iterdir()) == ["lock", "pages"]
    place.unlink()
    elsewhere.rename(place)
    workdir.sweep()
    assert not place.exists(), "it was the link that protected it"


def test_a_directory_of_somebody_else_is_not_entered(place: Path) -> None:
    if os.geteuid() != 0:
        absent("only root can make a directory somebody else's")
    looks_left(place)
    os.chown(place, 12345, 12345)
    workdir.sweep()
    assert (place / "pages").exists()


def test_a_lock_that_is_being_made_is_not_taken_for_one_that_was_left(place: Path) -> None:
    looks_left(place)
    (place / "lock").chmod(0o700)  # what `lockfile.make` has before it locks
    workdir.sweep()
    assert (place / "pages").exists()


def test_what_cannot_be_removed_now_is_left_to_the_next_sweep(place: Path) -> None:
    """The lock goes last: a directory without one would stay for ever."""
    if os.geteuid() != 0:
        absent("only root can mount something")
    looks_left(place)
    (place / "busy").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", place / "busy"], check=True)
    try:
        workdir.sweep()
        assert sorted(path.name for path in place.iterdir()) == ["busy", "lock"]
    finally:
        subprocess.run(["umount", place / "busy"], check=True)
    workdir.sweep()
    assert not place.exists()


def test_a_directory_whose_maker_was_killed_before_it_had_a_lock_is_removed(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workdir, "_MAKING_S", 60)
    place.mkdir()
    workdir.sweep()
    assert place.exists(), "it may be being made"
    (place / "pages").touch()
    os.utime(place, (0, 0))
    workdir.sweep()
    assert (place / "pages").exists(), "it is nothing of ours"
    (place / "pages").unlink()
    os.utime(place, (0, 0))
    workdir.sweep()
    assert not place.exists()
