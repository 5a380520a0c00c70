"""The machine's Debian mirror: found in both of apt's formats, whoever else is configured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from bundle import mirror
from bundle.errors import BundleError

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
DEB822 = f"""\
# the archive
Types: deb deb-src
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: {KEYRING}

Types: deb
URIs: http://mirror.test/debian-security
Suites: bookworm-security
Components: main
Signed-By: {KEYRING}
"""


@pytest.fixture
def apt(tmp_path: Path) -> Mapping[str, str]:
    """The environment of an apt whose sources are in this directory."""
    (tmp_path / "parts").mkdir()
    conf = f'Dir::Etc::sourcelist "{tmp_path}/sources.list";\nDir::Etc::sourceparts "{tmp_path}/parts";\n'
    (tmp_path / "apt.conf").write_text(conf)
    return {"APT_CONFIG": str(tmp_path / "apt.conf"), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


def test_a_deb822_file_gives_each_suite_with_its_key(tmp_path: Path) -> None:
    path = tmp_path / "debian.sources"
    path.write_text(DEB822)
    found = list(mirror.parse(path))
    assert [(s.uri, s.suite) for s in found] == [
        ("http://mirror.test/debian", "bookworm"),
        ("http://mirror.test/debian", "bookworm-updates"),
        ("http://mirror.test/debian-security", "bookworm-security"),
    ]
    assert found[0].components == ("main", "contrib")
    assert found[0].line("trixie") == f"deb [signed-by={KEYRING}] http://mirror.test/debian trixie main"


def test_a_one_line_list_gives_the_same(tmp_path: Path) -> None:
    path = tmp_path / "sources.list"
    path.write_text(
        "# deb http://old.test/debian buster main\n"
        "deb-src http://mirror.test/debian bookworm main\n"
        f"deb [arch=amd64 signed-by={KEYRING}]  http://mirror.test/debian bookworm main contrib # ours\n"
    )
    (found,) = mirror.parse(path)
    assert found.line("trixie") == f"deb [signed-by={KEYRING}] http://mirror.test/debian trixie main"


def test_disabled_and_source_only_stanzas_are_no_mirrors(tmp_path: Path) -> None:
    path = tmp_path / "x.sources"
    path.write_text(
        DEB822.replace("Types: deb\n", "Types: deb-src\n").replace("# the archive", "Enabled: no")
    )
    assert list(mirror.parse(path)) == []


def test_a_key_inside_a_stanza_gives_way_to_debians_keyring(tmp_path: Path) -> None:
    path = tmp_path / "x.sources"
    key = "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDMEY\n"
    path.write_text("Types: deb\nURIs: http://mirror.test/debian\nSuites: trixie\nComponents: main\n" + key)
    (found,) = mirror.parse(path)
    assert found.options == ()


def test_the_archive_comes_before_others_that_call_their_suite_stable(
    tmp_path: Path, apt: Mapping[str, str]
) -> None:
    (tmp_path / "sources.list").write_text("deb http://browser.test/linux/deb stable main\n")
    (tmp_path / "parts" / "debian.sources").write_text(DEB822)
    found = mirror.find(apt)
    assert [s.uri for s in found] == ["http://mirror.test/debian", "http://browser.test/linux/deb"]


def test_a_machine_without_a_debian_archive_is_told_what_to_give(
    tmp_path: Path, apt: Mapping[str, str]
) -> None:
    (tmp_path / "sources.list").write_text("deb http://mirror.test/ubuntu noble main\n")
    with pytest.raises(BundleError, match="names no Debian archive") as caught:
        mirror.find(apt)
    assert "CRIU=" in caught.value.hint


def test_a_given_mirror_is_asked_alone(tmp_path: Path, apt: Mapping[str, str]) -> None:
    (tmp_path / "sources.list").write_text("deb http://mirror.test/debian bookworm main\n")
    found = mirror.find({**apt, "DEBIAN_MIRROR": "http://other.test/debian"})
    assert [s.uri for s in found] == ["http://other.test/debian"]
