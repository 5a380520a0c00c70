"""A Debian archive in a directory, and an apt configuration that names it as the machine's own."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from bundle import mirror
from bundle.lock import ARCHITECTURE, Pin
from bundle.packages import PrivateApt


class Archive:
    """An archive of suite ``trixie`` that apt reads from a directory; unsigned, hence marked as trusted."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._index = root / f"dists/trixie/main/binary-{ARCHITECTURE}/Packages"
        self._index.parent.mkdir(parents=True)
        self._index.touch()
        (root / "pool").mkdir()
        (root / "parts").mkdir()
        (root / "sources.list").write_text(f"deb [trusted=yes] copy:{root} trixie main\n")
        (root / "apt.conf").write_text(
            f'Dir::Etc::sourcelist "{root}/sources.list";\nDir::Etc::sourceparts "{root}/parts";\n'
        )
        self.environ: Mapping[str, str] = {
            "APT_CONFIG": str(root / "apt.conf"),
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        }

    def add(self, name: str, version: str, *, content: str = "content") -> Pin:
        """Build a package with one file and publish it; as it would be locked."""
        tree = self.root / "build" / f"{name}-{version}"
        (tree / "DEBIAN").mkdir(parents=True)
        control = f"Package: {name}\nVersion: {version}\nArchitecture: {ARCHITECTURE}\n"
        control += "Maintainer: Nobody <nobody@localhost>\nDescription: for a test\n"
        (tree / "DEBIAN/control").write_text(control)
        (tree / "file").write_text(content)
        deb = self.root / "pool" / f"{name}_{version}.deb"
        subprocess.run(["dpkg-deb", "--build", str(tree), str(deb)], check=True, capture_output=True)
        pin = Pin(
            package=name,
            version=version,
            size=deb.stat().st_size,
            sha256=hashlib.sha256(deb.read_bytes()).hexdigest(),
        )
        with self._index.open("a") as index:
            index.write(f"{control}Filename: pool/{deb.name}\nSize: {pin.size}\nSHA256: {pin.sha256}\n\n")
        return pin

    def withdraw_everything(self) -> None:
        """The index is empty now, as when a point release replaced what there was."""
        self._index.write_text("")

    def apt(self, state: Path) -> PrivateApt:
        """A private apt that found this archive in the machine's configuration."""
        return PrivateApt(state, mirrors=mirror.find(self.environ), suite="trixie", environ=self.environ)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "archive")
