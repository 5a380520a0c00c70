"""Where this machine gets Debian packages from, read from its own apt configuration.

The bundle takes packages of a newer Debian than the machine may be. The archive is the same, only
the suite differs, so the machine's own mirror serves it and its own keyring vouches for it. Both
ways of writing sources are read: one-line ``*.list`` and deb822 ``*.sources``.

Rejected: ``apt-get indextargets``, which parses both formats itself, but names no keyring and
prints nothing before the first ``apt-get update``. A mirror of our own choice: behind a company's
proxy it is the one that cannot be reached.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bundle.errors import BundleError

DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
DEBIAN_SUITES = frozenset(
    ("bullseye", "bookworm", "trixie", "forky", "duke", "sid")
    + ("oldoldstable", "oldstable", "stable", "testing", "unstable")
)
_HINT = "give a Debian mirror as DEBIAN_MIRROR=URI, or another CRIU as CRIU=/path/to/criu"
_ONE_LINE = re.compile(
    r"deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)"
)


@dataclass(frozen=True, kw_only=True)
class Source:
    """One archive as apt knows it; `options` are those that say whom to trust."""

    uri: str
    suite: str
    components: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()

    def line(self, suite: str) -> str:
        """An apt line for another suite of the same archive."""
        options = " ".join(f"{name}={value}" for name, value in self.options)
        return f"deb {f'[{options}] ' if options else ''}{self.uri} {suite} main"


def find(environ: Mapping[str, str] = os.environ) -> list[Source]:
    """The machine's Debian mirrors, the likeliest first; ``DEBIAN_MIRROR`` is asked alone.

    Others name their suites as Debian does (``stable main``), so more than one may be there.

    Raises:
        BundleError: apt is missing, or no source of this machine looks like a Debian archive.
    """
    if uri := environ.get("DEBIAN_MIRROR"):
        return [_trusted(Source(uri=uri, suite="", components=("main",)))]
    sources = [source for path in _files(environ) for source in parse(path)]
    found = [s for s in sources if "main" in s.components and s.suite in DEBIAN_SUITES]
    if not found:
        raise BundleError("this machine's apt configuration names no Debian archive", hint=_HINT)
    found.sort(key=_likeness, reverse=True)
    return list(dict.fromkeys(_trusted(replace(source, suite="")) for source in found))


def _likeness(source: Source) -> tuple[bool, bool]:
    key = dict(source.options).get("signed-by", "")
    return "debian-archive" in key, source.uri.rstrip("/").endswith("/debian")


def parse(path: Path) -> Iterator[Source]:
    """The binary archives that one ``.list`` or ``.sources`` file names."""
    text = path.read_text(encoding="utf-8", errors="replace")
    yield from _deb822(text) if path.suffix == ".sources" else _one_line(text)


def _files(environ: Mapping[str, str]) -> list[Path]:
    command = ["apt-config", "shell", "MAIN", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d"]
    try:
        out = subprocess.run(command, env=dict(environ), capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise BundleError("apt is needed to fetch CRIU, and apt-config does not run", hint=_HINT) from error
    found = dict(re.findall(r"^(\w+)='(.*)'$", out, re.MULTILINE))
    parts = Path(found.get("PARTS", "/etc/apt/sources.list.d"))
    main = Path(found.get("MAIN", "/etc/apt/sources.list"))
    more = sorted(p for p in parts.glob("*") if p.suffix in (".list", ".sources")) if parts.is_dir() else []
    return [path for path in (main, *more) if path.is_file()]


def _one_line(text: str) -> Iterator[Source]:
    for line in text.splitlines():
        if match := _ONE_LINE.fullmatch(line.partition("#")[0].strip()):
            options = dict(part.partition("=")[::2] for part in (match["options"] or "").split())
            yield Source(
                uri=match["uri"],
                suite=match["suite"],
                components=tuple(match["components"].split()),
                options=_kept(options),
            )


def _deb822(text: str) -> Iterator[Source]:
    for stanza in re.split(r"\n\s*\n", text):
        fields = _fields(stanza)
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in (
            "no",
            "false",
        ):
            continue
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield Source(
                    uri=uri,
                    suite=suite,
                    components=tuple(fields.get("components", "").split()),
                    options=_kept(fields),
                )


def _fields(stanza: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1] in (" ", "\t"):
            fields[name] = f"{fields.get(name, '')}\n{line.strip()}"
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def _kept(options: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    # Signed-By may also hold a whole key, which a one-line entry cannot: Debian's keyring instead.
    kept = {name: value for name in ("signed-by", "trusted") if (value := options.get(name, "").strip())}
    if not kept.get("signed-by", "/").startswith("/"):
        del kept["signed-by"]
    return tuple(kept.items())


def _trusted(source: Source) -> Source:
    # Without Signed-By apt asks every key of trusted.gpg.d; a slim image has none there.
    if source.options or not DEBIAN_KEYRING.is_file():
        return source
    return replace(source, options=(("signed-by", str(DEBIAN_KEYRING)),))
