"""The lock file: which Debian packages the bundle was tested with.

``suite NAME`` says which release they are from, then one package a line, ``name version size
sha256``; ``#`` starts a comment. A person keeps the suite and the names, `make lock` renews the
other three columns. Comments survive a renewal, because they say why a package is there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bundle.errors import BundleError

ARCHITECTURE = "amd64"  # Debian's name; the launcher is x86-64 too

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Pin:
    """One locked package; `size` in bytes."""

    package: str
    version: str
    size: int
    sha256: str

    @property
    def filename(self) -> str:
        """The name apt gives the file: an epoch's colon is escaped."""
        return f"{self.package}_{self.version.replace(':', '%3a')}_{ARCHITECTURE}.deb"

    def line(self) -> str:
        return f"{self.package:<16} {self.version:<20} {self.size:>8} {self.sha256}"


@dataclass(frozen=True, kw_only=True)
class Lock:
    """A lock file's content: one Debian suite and the packages taken from it."""

    suite: str
    pins: tuple[Pin, ...]


def read(path: Path) -> Lock:
    """Read a lock file; its order is kept.

    Raises:
        BundleError: the file is missing, a line cannot be read, or a package is there twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BundleError(f"cannot read the package lock {path}: {error.strerror}") from error
    suite = ""
    pins: dict[str, Pin] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        match line.partition("#")[0].split():
            case []:
                pass
            case ["suite", name]:
                suite = name
            case [package, version, size, sha256] if size.isdigit() and _SHA256.fullmatch(sha256):
                if package in pins:
                    raise BundleError(f"{path}:{number}: {package} is locked twice")
                pins[package] = Pin(package=package, version=version, size=int(size), sha256=sha256)
            case _:
                raise BundleError(f"{path}:{number}: not 'name version size sha256': {line.strip()}")
    if not suite or not pins:
        raise BundleError(f"{path} names no {'package' if suite else 'suite'}")
    return Lock(suite=suite, pins=tuple(pins.values()))


def renew(path: Path, pins: Mapping[str, Pin]) -> None:
    """Write the lock again with the given pins in place of those of the same name."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        name = line.partition(" ")[0]
        lines.append(pins[name].line() if name in pins else line)
    draft = path.with_name(path.name + ".new")
    draft.write_text("\n".join(lines) + "\n", encoding="utf-8")
    draft.replace(path)
