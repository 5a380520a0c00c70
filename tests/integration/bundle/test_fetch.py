"""Locked packages come out of the cache or through apt, and never as something else than was tested."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from bundle import packages
from bundle.errors import BundleError
from bundle.packages import PrivateApt

if TYPE_CHECKING:
    from tests.integration.bundle.conftest import Archive


def no_network() -> PrivateApt:
    raise AssertionError("apt was asked although everything is in the cache")


def test_locked_packages_are_fetched_once_and_then_come_from_the_cache(
    archive: Archive, tmp_path: Path
) -> None:
    pins = [archive.add("criu", "4.1.1-1"), archive.add("libgmp10", "2:6.3.0+dfsg-3")]
    said: list[str] = []
    cache = tmp_path / "cache"
    first = packages.fetch(pins, cache=cache, apt=lambda: archive.apt(tmp_path / "apt"), say=said.append)
    assert [p.path.name for p in first] == ["criu_4.1.1-1_amd64.deb", "libgmp10_2%3a6.3.0+dfsg-3_amd64.deb"]
    assert all(package.tested for package in first)
    assert packages.fetch(pins, cache=cache, apt=no_network, say=said.append) == first
    assert sorted(path.name for path in cache.iterdir()) == sorted(p.path.name for p in first)


def test_only_what_is_missing_is_fetched(archive: Archive, tmp_path: Path) -> None:
    pins = [archive.add("criu", "4.1.1-1"), archive.add("libnet1", "1.3-2")]
    said: list[str] = []
    got = packages.fetch(
        pins, cache=tmp_path / "cache", apt=lambda: archive.apt(tmp_path / "apt"), say=said.append
    )
    got[1].path.unlink()
    before = got[0].path.stat().st_mtime_ns
    said.clear()
    packages.fetch(pins, cache=tmp_path / "cache", apt=lambda: archive.apt(tmp_path / "apt"), say=said.append)
    assert any("fetching 1 packages" in line for line in said)
    assert got[0].path.stat().st_mtime_ns == before


def test_a_cached_file_with_another_hash_stops_with_its_name(archive: Archive, tmp_path: Path) -> None:
    pin = archive.add("criu", "4.1.1-1")
    (got,) = packages.fetch(
        [pin], cache=tmp_path / "cache", apt=lambda: archive.apt(tmp_path / "apt"), say=lambda _: None
    )
    got.path.write_bytes(got.path.read_bytes()[:-1] + b"!")
    with pytest.raises(BundleError, match=f"not the package that was tested.*{pin.sha256}") as caught:
        packages.fetch([pin], cache=tmp_path / "cache", apt=no_network, say=lambda _: None)
    assert str(got.path) in str(caught.value)
    assert f"remove {got.path}" in caught.value.hint


def test_a_mirror_with_another_package_under_the_locked_version_stops(
    archive: Archive, tmp_path: Path
) -> None:
    pin = replace(archive.add("criu", "4.1.1-1"), sha256="0" * 64)
    cache = tmp_path / "cache"
    with pytest.raises(BundleError, match=r"another criu 4\.1\.1-1 than the one tested"):
        packages.fetch([pin], cache=cache, apt=lambda: archive.apt(tmp_path / "apt"), say=lambda _: None)
    assert not list(cache.glob("*.deb"))


def test_a_version_that_the_mirror_dropped_gives_the_current_one_with_a_warning(
    archive: Archive, tmp_path: Path
) -> None:
    locked = archive.add("criu", "4.1.1-1")
    archive.withdraw_everything()
    current = archive.add("criu", "4.1.1-1+deb13u1", content="repaired")
    said: list[str] = []
    (got,) = packages.fetch(
        [locked], cache=tmp_path / "cache", apt=lambda: archive.apt(tmp_path / "apt"), say=said.append
    )
    assert (got.pin, got.tested) == (current, False)
    (warning,) = [line for line in said if line.startswith("warning")]
    assert "4.1.1-1 no more, taking 4.1.1-1+deb13u1" in warning
    assert "make lock" in warning


def test_without_a_network_an_old_lock_gives_what_was_fetched_before(
    archive: Archive, tmp_path: Path
) -> None:
    locked = archive.add("criu", "4.1.1-1")
    archive.withdraw_everything()
    archive.add("criu", "4.1.1-1+deb13u1", content="repaired")
    cache = tmp_path / "cache"
    first = packages.fetch(
        [locked], cache=cache, apt=lambda: archive.apt(tmp_path / "apt"), say=lambda _: None
    )
    (archive.root / "dists").rename(archive.root / "gone")
    said: list[str] = []
    again = packages.fetch([locked], cache=cache, apt=lambda: archive.apt(tmp_path / "apt"), say=said.append)
    assert again == first
    assert said[-1] == "the mirror cannot be asked, taking what was fetched before"
    first[0].path.unlink()
    with pytest.raises(BundleError, match="no mirror gives the package list"):
        packages.fetch([locked], cache=cache, apt=lambda: archive.apt(tmp_path / "apt"), say=said.append)


def test_a_package_that_the_mirror_never_had_is_named(archive: Archive, tmp_path: Path) -> None:
    pin = archive.add("criu", "4.1.1-1")
    archive.withdraw_everything()
    archive.add("other", "1")
    with pytest.raises(BundleError, match="no package criu"):
        packages.fetch(
            [pin], cache=tmp_path / "cache", apt=lambda: archive.apt(tmp_path / "apt"), say=lambda _: None
        )


def test_a_mirror_that_does_not_have_the_suite_is_named_and_the_next_one_asked(
    archive: Archive, tmp_path: Path
) -> None:
    pin = archive.add("criu", "4.1.1-1")
    own = (archive.root / "sources.list").read_text()
    (archive.root / "sources.list").write_text("deb [trusted=yes] copy:/nowhere/debian stable main\n")
    with pytest.raises(BundleError, match="copy:/nowhere/debian"):
        packages.fetch(
            [pin], cache=tmp_path / "cache", apt=lambda: archive.apt(tmp_path / "apt"), say=lambda _: None
        )
    (archive.root / "parts" / "own.list").write_text(own)
    (got,) = packages.fetch(
        [pin], cache=tmp_path / "cache", apt=lambda: archive.apt(tmp_path / "apt"), say=lambda _: None
    )
    assert got.tested


def test_renewing_asks_the_mirror_for_what_it_has_now(archive: Archive, tmp_path: Path) -> None:
    locked = [archive.add("criu", "4.1.1-1"), archive.add("libnet1", "1.3-2")]
    newer = archive.add("criu", "4.1.2-1")
    assert packages.newest(locked, archive.apt(tmp_path / "apt")) == {"criu": newer, "libnet1": locked[1]}


def test_the_machines_own_package_lists_are_left_alone(archive: Archive, tmp_path: Path) -> None:
    lists = Path("/var/lib/apt/lists")
    before = {path.name: path.stat().st_mtime_ns for path in lists.iterdir() if path.is_file()}
    archive.add("criu", "4.1.1-1")
    archive.apt(tmp_path / "apt").update()
    assert {path.name: path.stat().st_mtime_ns for path in lists.iterdir() if path.is_file()} == before
