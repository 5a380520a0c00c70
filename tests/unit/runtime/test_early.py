"""What changed after CRIU began is not trusted, whichever name on the way to a file it was."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from quickthaw.runtime.checks import files_stay
from quickthaw.runtime.early import Early


def stamp(path: Path) -> tuple[int, ...]:
    now = path.stat()
    return (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)


def rename_file(root: Path) -> None:
    (root / "a" / "b" / "new").rename(root / "a" / "b" / "library")


def rename_directory(root: Path) -> None:
    (root / "a").rename(root / "old")
    (root / "next").rename(root / "a")


def switch_link(root: Path) -> None:
    (root / "link").unlink()
    (root / "link").symlink_to("next")


@pytest.mark.parametrize(
    ("change", "name"),
    [(rename_file, "a/b/library"), (rename_directory, "a/b/library"), (switch_link, "link/b/library")],
)
def test_a_name_that_changed_since_is_not_trusted(
    change: Callable[[Path], None], name: str, tmp_path: Path
) -> None:
    for directory in ("a/b", "next/b"):
        (tmp_path / directory).mkdir(parents=True)
        (tmp_path / directory / "library").write_text("one")
        (tmp_path / directory / "new").write_text("two")
    (tmp_path / "link").symlink_to("a")
    early = object.__new__(Early)
    early.spawned_s = 0.0
    seen = {str(tmp_path / name): stamp(tmp_path / name)}
    assert early._changed_since(seen), "all of it is younger than the machine"
    while early._changed_since(seen):  # times of files lag by a tick
        early.spawned_s = time.monotonic()
    change(tmp_path)
    seen = {str(tmp_path / name): stamp(tmp_path / name)}
    files_stay(seen)  # whoever looks only now sees nothing
    assert early._changed_since(seen)
