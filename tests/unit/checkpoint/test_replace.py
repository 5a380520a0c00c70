"""A directory appears whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from quickthaw.checkpoint.replace import replacing
from quickthaw.errors import UsageError


def test_a_new_directory_appears_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "target"
    with replacing(target) as fresh:
        (fresh / "file").write_text("new")
        assert not target.exists()
    assert (target / "file").read_text() == "new"
    assert [path.name for path in target.parent.iterdir()] == ["target"]


def test_an_old_directory_is_exchanged_whole(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "old").touch()
    with replacing(tmp_path / "target") as fresh:
        (fresh / "new").touch()
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["new"]


def test_an_error_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "old").touch()
    with pytest.raises(RuntimeError), replacing(tmp_path / "target") as fresh:
        (fresh / "new").touch()
        raise RuntimeError
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["old", "target"]


def test_two_at_once_do_not_mix(tmp_path: Path) -> None:
    with (
        replacing(tmp_path / "target"),
        pytest.raises(UsageError, match="another process is writing"),
        replacing(tmp_path / "target"),
    ):
        pass


def test_while_it_is_made_nobody_else_may_read_it(tmp_path: Path) -> None:
    with replacing(tmp_path / "target") as fresh:
        assert fresh.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "target").stat().st_mode & 0o777 == 0o755
