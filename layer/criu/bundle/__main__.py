"""``python3 -m bundle OUT`` makes the bundle, ``python3 -m bundle --renew`` renews the lock."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from bundle import assemble, lock, mirror, packages
from bundle.errors import BundleError

LOCK = Path(__file__).parent.parent / "packages.lock"
LIBLZ4_PACKAGE = "liblz4-1"


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0, or 1 after one line that says what is wrong and one that says what to do."""
    options = _parser().parse_args(arguments)
    try:
        if options.renew:
            _renew(options)
        else:
            _make(options)
    except BundleError as error:
        say(f"error: {error}")
        if error.hint:
            say(f"       {error.hint}")
        return 1
    return 0


def say(text: str) -> None:
    print(f"criu bundle: {text}", file=sys.stderr, flush=True)


def _make(options: argparse.Namespace) -> None:
    if options.out is None:
        raise BundleError("where to? give a directory as OUT")
    if (machine := os.uname().machine) != "x86_64":
        raise BundleError(
            f"this recipe is for x86-64, this machine is {machine}", hint="give CRIU=/path/to/criu"
        )
    started = time.monotonic()
    locked = lock.read(options.lock)
    if options.criu is not None:
        locked = lock.Lock(
            suite=locked.suite, pins=tuple(p for p in locked.pins if p.package == LIBLZ4_PACKAGE)
        )
    got = packages.fetch(
        locked.pins, cache=options.cache / "debs", apt=lambda: _apt(options, locked), say=say
    )
    if options.criu is not None:
        assemble.from_program(options.criu, got, options.out)
    else:
        assemble.from_packages(got, options.out)
    files = [path for made in ("criu", "lib") for path in (options.out / made).rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    say(f"{len(files)} files, {size / 1e6:.1f} MB in {options.out} ({time.monotonic() - started:.1f} s)")


def _renew(options: argparse.Namespace) -> None:
    locked = lock.read(options.lock)
    newest = packages.newest(locked.pins, _apt(options, locked))
    for pin in locked.pins:
        if newest[pin.package] != pin:
            say(f"{pin.package} {pin.version} -> {newest[pin.package].version}")
    lock.renew(options.lock, newest)


def _apt(options: argparse.Namespace, locked: lock.Lock) -> packages.PrivateApt:
    return packages.PrivateApt(options.cache / "apt", mirrors=mirror.find(), suite=locked.suite)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m bundle", description=__doc__)
    parser.add_argument("out", type=Path, nargs="?", help="directory that gets criu/ and lib/")
    parser.add_argument("--cache", type=Path, required=True, help="directory for downloaded packages, reused")
    parser.add_argument("--lock", type=Path, default=LOCK, help="package lock (default: %(default)s)")
    parser.add_argument("--criu", type=Path, help="take this CRIU of the machine instead of Debian's")
    parser.add_argument("--renew", action="store_true", help="write what the suite has now into the lock")
    return parser


if __name__ == "__main__":
    sys.exit(main())
