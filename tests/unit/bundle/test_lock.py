"""The package lock: read strictly, renewed without losing what a person wrote."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from bundle import lock
from bundle.errors import BundleError

HASH = "a" * 64
TEXT = f"""\
# why these
suite trixie

criu 4.1.1-1 560280 {HASH}
libgmp10 2:6.3.0+dfsg-3 560220 {HASH}  # arithmetic
"""


def write(directory: Path, text: str) -> Path:
    path = directory / "packages.lock"
    path.write_text(text)
    return path


def test_packages_keep_their_order_and_columns(tmp_path: Path) -> None:
    locked = lock.read(write(tmp_path, TEXT))
    assert locked.suite == "trixie"
    assert [(p.package, p.version, p.size) for p in locked.pins] == [
        ("criu", "4.1.1-1", 560280),
        ("libgmp10", "2:6.3.0+dfsg-3", 560220),
    ]


def test_an_epoch_is_escaped_in_the_file_name_as_apt_does_it(tmp_path: Path) -> None:
    locked = lock.read(write(tmp_path, TEXT))
    assert locked.pins[1].filename == "libgmp10_2%3a6.3.0+dfsg-3_amd64.deb"


def test_renewing_changes_the_columns_and_keeps_the_comments(tmp_path: Path) -> None:
    path = write(tmp_path, TEXT)
    criu = lock.read(path).pins[0]
    lock.renew(path, {"criu": replace(criu, version="4.2-1", size=7, sha256="b" * 64)})
    renewed = lock.read(path).pins
    assert (renewed[0].version, renewed[0].size, renewed[0].sha256) == ("4.2-1", 7, "b" * 64)
    assert renewed[1].version == "2:6.3.0+dfsg-3"
    assert path.read_text().startswith("# why these\nsuite trixie\n\n")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (f"suite trixie\ncriu 4.1.1-1 big {HASH}\n", "packages.lock:2: not 'name version size sha256'"),
        ("suite trixie\ncriu 4.1.1-1 12 abc\n", "packages.lock:2: not 'name version size sha256'"),
        (TEXT + f"criu 5 1 {HASH}\n", "packages.lock:6: criu is locked twice"),
        ("suite trixie\n", "names no package"),
        (f"criu 4.1.1-1 1 {HASH}\n", "names no suite"),
    ],
)
def test_a_line_that_cannot_be_meant_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(BundleError, match=complaint):
        lock.read(write(tmp_path, text))


def test_a_missing_lock_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nowhere"):
        lock.read(tmp_path / "nowhere")


def test_the_lock_of_this_repository_can_be_read() -> None:
    path = Path(__file__).parents[3] / "layer/criu/packages.lock"
    names = [pin.package for pin in lock.read(path).pins]
    assert {"criu", "libc6", "liblz4-1"} <= set(names)
