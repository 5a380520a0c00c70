"""The locked packages as files: out of the cache, else through a private apt.

apt does the network, the proxies and the signatures with the machine's own settings, but in a state
directory of ours: root is not needed and the machine's package lists stay as they are. A file enters
the cache only after its hash was checked, so what lies there is complete.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bundle.errors import BundleError
from bundle.lock import ARCHITECTURE, Pin
from bundle.mirror import Source

Say = Callable[[str], None]

# A machine's apt may run programs after an update (PackageKit, AppStream); they are none of ours.
_CONF = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Sandbox::User "";
APT::Get::List-Cleanup "true";
Acquire::Languages "none";
Acquire::Retries "3";
Dir::State "{state}";
Dir::State::Lists "{state}/lists";
Dir::State::status "{state}/status";
Dir::Cache "{state}/cache";
Dir::Etc::sourcelist "{state}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
"""


class PrivateApt:
    """apt with its own state under `state`, asking one of the `mirrors` for one suite."""

    def __init__(
        self, state: Path, *, mirrors: Sequence[Source], suite: str, environ: Mapping[str, str] = os.environ
    ) -> None:
        self._state = state.absolute()
        self._conf = self._state / "apt.conf"
        self._environ = {**environ, "LC_ALL": "C.UTF-8"}
        self._mirrors = mirrors
        self._suite = suite

    def update(self) -> None:
        """Fetch the suite's signed package lists from the first mirror that has them.

        Raises:
            BundleError: no mirror answers, has the suite, or has a signature that is trusted here.
        """
        for name in ("lists/partial", "cache/archives/partial"):
            (self._state / name).mkdir(parents=True, exist_ok=True)
        (self._state / "status").touch()
        self._conf.write_text(_CONF.format(state=self._state, architecture=ARCHITECTURE))
        errors = []
        for mirror in self._mirrors:
            (self._state / "sources.list").write_text(mirror.line(self._suite) + "\n")
            try:
                # Error-Mode any: apt would else call a mirror that cannot be reached a success.
                self._run("apt-get", "-q", "-o", "APT::Update::Error-Mode=any", "update")
                return
            except BundleError as error:
                errors.append(f"{mirror.uri}: {error}")
        # What was asked earlier can still be looked up, whichever of them it came from.
        lines = [mirror.line(self._suite) + "\n" for mirror in self._mirrors]
        (self._state / "sources.list").write_text("".join(lines))
        raise BundleError(
            "\n".join([f"no mirror gives the package list of {self._suite}", *errors]),
            hint="does this machine's own `apt-get update` work? "
            "An old debian-archive-keyring package does not know newer suites' keys",
        )

    def offers(self, names: Iterable[str]) -> dict[str, list[Pin]]:
        """Every version that the suite has of some packages, newest first."""
        offers: dict[str, list[Pin]] = {name: [] for name in names}
        # An unknown name makes apt-cache fail, but it still tells about the others.
        for stanza in re.split(r"\n\s*\n", self._run("apt-cache", "show", *offers, check=False)):
            fields = dict(re.findall(r"^(Package|Version|Size|SHA256): (.*)$", stanza, re.MULTILINE))
            if len(fields) == 4 and fields["Package"] in offers:
                offers[fields["Package"]].append(
                    Pin(
                        package=fields["Package"],
                        version=fields["Version"],
                        size=int(fields["Size"]),
                        sha256=fields["SHA256"],
                    )
                )
        return offers

    def download(self, pins: Sequence[Pin], into: Path) -> None:
        """Fetch these very versions as files into a directory."""
        into.mkdir(parents=True, exist_ok=True)
        self._run("apt-get", "-q", "download", *(f"{p.package}={p.version}" for p in pins), cwd=into)

    def _run(self, *command: str, cwd: Path | None = None, check: bool = True) -> str:
        name, *rest = command
        full = [name, "-c", str(self._conf), *rest]
        try:
            done = subprocess.run(
                full, cwd=cwd, env=self._environ, stdin=subprocess.DEVNULL, capture_output=True, text=True
            )
        except OSError as error:
            raise BundleError(
                f"{name} does not run: {error.strerror}", hint="give CRIU=/path/to/criu"
            ) from error
        if check and done.returncode != 0:
            said = "\n".join(done.stderr.strip().splitlines()[-5:])
            raise BundleError(f"{name} failed:\n{said}")
        return done.stdout


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package on disk, `tested` when it is the locked version."""

    pin: Pin
    path: Path
    tested: bool


def fetch(pins: Sequence[Pin], *, cache: Path, apt: Callable[[], PrivateApt], say: Say) -> list[Package]:
    """All the pins as files in `cache`; apt is asked only for those that are not there yet.

    Raises:
        BundleError: a file has another hash than the lock says, or nothing can be fetched.
    """
    cache.mkdir(parents=True, exist_ok=True)
    missing = [pin for pin in pins if not _cached(pin, cache)]
    taken = {pin.package: pin for pin in pins}
    if missing:
        private = apt()
        say(f"asking this machine's Debian mirror for {len(missing)} packages")
        chosen = _ask(private, missing, cache=cache, say=say)
        taken.update((pin.package, pin) for pin in chosen)
        _download([pin for pin in chosen if not _cached(pin, cache)], cache=cache, apt=private, say=say)
    return [
        Package(
            pin=taken[pin.package], path=cache / taken[pin.package].filename, tested=taken[pin.package] == pin
        )
        for pin in pins
    ]


def _ask(apt: PrivateApt, missing: Sequence[Pin], *, cache: Path, say: Say) -> list[Pin]:
    """What the suite has for the missing pins.

    Without a network that is what it had when it was last asked, if all of it was fetched then: a lock
    that has grown old must not keep a machine from building again what it has built.
    """
    try:
        apt.update()
    except BundleError:
        offers = apt.offers(pin.package for pin in missing)
        if not all(offers.values()):
            raise
        chosen = [_choose(pin, offers[pin.package], say) for pin in missing]
        if not all(_cached(pin, cache) for pin in chosen):
            raise
        say("the mirror cannot be asked, taking what was fetched before")
        return chosen
    offers = apt.offers(pin.package for pin in missing)
    return [_choose(pin, offers[pin.package], say) for pin in missing]


def newest(pins: Sequence[Pin], apt: PrivateApt) -> dict[str, Pin]:
    """What the suite has now of the locked packages, by name; for `make lock`."""
    apt.update()
    offers = apt.offers(pin.package for pin in pins)
    return {pin.package: _current(pin, offers[pin.package]) for pin in pins}


def _cached(pin: Pin, cache: Path) -> bool:
    path = cache / pin.filename
    if not path.exists():
        return False
    _check(pin, path)
    return True


def _check(pin: Pin, path: Path) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != pin.sha256:
        raise BundleError(
            f"{path} is not the package that was tested: SHA-256 {found}, the lock says {pin.sha256}",
            hint=f"remove {path} and try again; if it comes back the same, do not trust the mirror",
        )


def _choose(pin: Pin, offers: Sequence[Pin], say: Say) -> Pin:
    for offer in offers:
        if offer.version == pin.version:
            if offer.sha256 != pin.sha256:
                raise BundleError(
                    f"the mirror has another {pin.package} {pin.version} than the one tested: "
                    f"SHA-256 {offer.sha256}, the lock says {pin.sha256}",
                    hint="do not trust this mirror before you know why",
                )
            return pin
    current = _current(pin, offers)
    say(
        f"warning: the mirror has {pin.package} {pin.version} no more, taking {current.version}, "
        "which was not tested; `make lock` renews the lock"
    )
    return current


def _current(pin: Pin, offers: Sequence[Pin]) -> Pin:
    if not offers:
        raise BundleError(
            f"the mirror has no package {pin.package} in the suite of the lock",
            hint="its name changed: edit layer/criu/packages.lock, then `make lock`",
        )
    return offers[0]


def _download(pins: Sequence[Pin], *, cache: Path, apt: PrivateApt, say: Say) -> None:
    if not pins:
        return
    say(f"fetching {len(pins)} packages, {sum(pin.size for pin in pins) / 1e6:.1f} MB")
    partial = cache / "partial"
    shutil.rmtree(partial, ignore_errors=True)
    apt.download(pins, partial)
    for pin in pins:
        path = partial / pin.filename
        if not path.exists():
            raise BundleError(f"apt-get download left no {pin.filename} in {partial}")
        _check(pin, path)
        path.replace(cache / pin.filename)
    shutil.rmtree(partial)
