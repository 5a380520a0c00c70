"""From package files to a tree that runs wherever it lies.

    criu/criu                    the launcher: what is executed
    criu/start                   starts CRIU before there is a Python
    criu/criu.bin                CRIU as Debian built it
    criu/lib/                    its libraries, the loader that finds them there, and sockopt.so
    criu/licenses/               copyright files, licence texts, and where the sources are
    lib/liblz4.so.1              for the function's Python; needs only what Lambda's glibc has

The loader itself is asked which libraries CRIU needs (``ld.so --list``), so the list cannot drift
from what will be loaded. Everything of CRIU's is kept, TLS and nftables too: a slimmer build with
stand-in libraries restores, but must not dump.

Each tree is made beside its final place and renamed into it, so a killed build leaves no half one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bundle.errors import BundleError
from bundle.packages import Package

LAUNCHER = Path(__file__).parent.parent / "launcher.c"
STARTER = LAUNCHER.parent / "start.c"
SHIM = LAUNCHER.parent / "sockopt.c"
LOADER = "ld-linux-x86-64.so.2"
LIBLZ4 = "liblz4.so.1"
TRIPLET = "usr/lib/x86_64-linux-gnu"
OLDEST = (4, 1)  # CRIU before it cannot read the vdso of kernel 6.12 and newer
MAX_GLIBC = (2, 34)  # what Amazon Linux 2023 has, hence Lambda for Python >= 3.12

_LIBRARY_HINT = (
    "add its package to layer/criu/packages.lock, then `make lock`; "
    "a CRIU given as CRIU=/path needs its libraries on this machine"
)
_COMPILE = (
    *("-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2", "-s"),
    # no C library, hence none of what the compiler would want from it
    *("-nostdlib", "-ffreestanding", "-fno-stack-protector"),
    *("-fno-asynchronous-unwind-tables", "-fcf-protection=none", "-Wl,--build-id=none", "-Wl,-z,noexecstack"),
)
_PROGRAM = ("-static", "-no-pie")
_LIBRARY = ("-shared", "-fPIC", "-fvisibility=hidden")


def from_packages(packages: Sequence[Package], out: Path) -> None:
    """Put ``criu/`` and ``lib/`` made of Debian packages into `out`.

    Raises:
        BundleError: a library or a licence is in none of the packages, or the result does not run.
    """
    with TemporaryDirectory(prefix="criu-bundle-") as scratch:
        root = Path(scratch)
        for package in packages:
            _run("dpkg-deb", "-x", str(package.path), scratch)
        loader = (root / TRIPLET / LOADER).resolve()
        library_path = root / TRIPLET
        with _fresh(out / "criu") as criu:
            binary = root / "usr/sbin/criu"
            _install(binary, criu / "criu.bin", mode=0o755)
            _install(loader, criu / "lib" / LOADER, mode=0o755)
            for name, path in needed(binary, loader=loader, library_path=library_path).items():
                if not path.resolve().is_relative_to(root.resolve()):
                    raise BundleError(f"CRIU needs {name}, which is not here", hint=_LIBRARY_HINT)
                _install(path, criu / "lib" / name)
            _compile(LAUNCHER, criu / "criu", _PROGRAM, mode=0o755)
            _compile(STARTER, criu / "start", _PROGRAM, mode=0o755)
            _compile(SHIM, criu / "lib" / "sockopt.so", _LIBRARY, mode=0o644)
            _licences(packages, root, criu / "licenses")
            check_version(criu / "criu")
        _liblz4(root, out)


def from_program(program: Path, packages: Sequence[Package], out: Path) -> None:
    """Put ``criu/`` made of a CRIU of this machine into `out`, and ``lib/`` made of the packages.

    Raises:
        BundleError: the program is no CRIU of this architecture, or too old.
    """
    if not os.access(program, os.X_OK):
        raise BundleError(
            f"CRIU={program} is no program",
            hint="give the path of an executable criu, or CRIU= for the bundle's own",
        )
    listed = subprocess.run(["ldd", str(program)], env={"LC_ALL": "C"}, capture_output=True, text=True)
    with _fresh(out / "criu") as criu:
        if listed.returncode != 0:  # static: ldd has nothing to say about it
            _install(program, criu / "criu", mode=0o755)
        else:
            libraries = parse_list(listed.stdout)
            loader = next((path for name, path in libraries.items() if name == LOADER), None)
            if loader is None:
                raise BundleError(f"{program} is not for x86-64: its loader is not {LOADER}")
            _install(program, criu / "criu.bin", mode=0o755)
            for name, path in libraries.items():
                _install(path, criu / "lib" / name, mode=0o755 if name == LOADER else 0o644)
            _compile(LAUNCHER, criu / "criu", _PROGRAM, mode=0o755)
            _compile(STARTER, criu / "start", _PROGRAM, mode=0o755)
            _compile(SHIM, criu / "lib" / "sockopt.so", _LIBRARY, mode=0o644)
        (criu / "licenses").mkdir()
        (criu / "licenses" / "SOURCES").write_text(f"CRIU was given by its path: {program}\n")
        check_version(criu / "criu")
    with TemporaryDirectory(prefix="criu-bundle-") as scratch:
        for package in packages:
            _run("dpkg-deb", "-x", str(package.path), scratch)
        _liblz4(Path(scratch), out)


def needed(binary: Path, *, loader: Path, library_path: Path) -> dict[str, Path]:
    """The libraries that this loader would load for a program, by SONAME; itself not among them."""
    command = [str(loader), "--inhibit-cache", "--library-path", str(library_path), "--list", str(binary)]
    libraries = parse_list(_run(*command))
    libraries.pop(LOADER, None)
    return libraries


def parse_list(text: str) -> dict[str, Path]:
    """SONAME -> path from the output of ``ldd`` or ``ld.so --list``.

    Raises:
        BundleError: a library was not found.
    """
    found: dict[str, Path] = {}
    for line in text.splitlines():
        if match := re.match(r"\s*(\S+) => not found", line):
            raise BundleError(f"CRIU needs {match[1]}, which is not here", hint=_LIBRARY_HINT)
        if match := re.match(r"\s*(?:\S+ => )?(/\S+) \(0x", line):
            name = line.split()[0].rpartition("/")[2]
            found[name] = Path(match[1])
    return found


def check_version(criu: Path) -> tuple[int, ...]:
    """Run a CRIU with an empty environment; its version.

    Raises:
        BundleError: it does not run, or is older than `OLDEST`.
    """
    said = _run(str(criu), "--version")
    match = re.search(r"Version: (\d+(?:\.\d+)+)", said)
    if match is None:
        raise BundleError(f"{criu} --version names no version: {said.strip()[:200]}")
    version = tuple(int(part) for part in match[1].split("."))
    if version < OLDEST:
        raise BundleError(
            f"CRIU {match[1]} is too old for current kernels",
            hint=f"give one of {'.'.join(map(str, OLDEST))} or later, or CRIU= for the bundle's own",
        )
    return version


def check_glibc(library: Path) -> tuple[int, int]:
    """The newest glibc that a library asks for.

    Raises:
        BundleError: it is newer than Lambda's.
    """
    versions = {(int(a), int(b)) for a, b in re.findall(rb"\0GLIBC_(\d+)\.(\d+)", library.read_bytes())}
    newest = max(versions, default=(0, 0))
    if newest > MAX_GLIBC:
        raise BundleError(
            f"{library.name} needs glibc {newest[0]}.{newest[1]}, Lambda has {MAX_GLIBC[0]}.{MAX_GLIBC[1]}",
            hint="lock an older package of it",
        )
    return newest


def _liblz4(root: Path, out: Path) -> None:
    check_glibc(root / TRIPLET / LIBLZ4)
    with _fresh(out / "lib") as lib:
        _install(root / TRIPLET / LIBLZ4, lib / LIBLZ4)


def _compile(source: Path, target: Path, options: Sequence[str], *, mode: int) -> None:
    compiler = os.environ.get("CC") or "cc"
    if shutil.which(compiler) is None:
        raise BundleError("a C compiler is needed for CRIU's launcher", hint="apt-get install gcc")
    _run(compiler, *_COMPILE, *options, "-o", str(target), str(source))
    target.chmod(mode)


def _licences(packages: Sequence[Package], root: Path, out: Path) -> None:
    texts: set[str] = set()
    sources = ["These programs and libraries are Debian's, unchanged. Their sources, by Debian's names:", ""]
    for package in packages:
        name = package.pin.package
        copyright_file = root / "usr/share/doc" / name / "copyright"
        if not copyright_file.is_file():
            raise BundleError(f"package {name} {package.pin.version} brings no copyright file")
        _install(copyright_file, out / f"{name}.copyright")
        texts.update(
            re.findall(
                r"/usr/share/common-licenses/([A-Za-z0-9.+-]*[A-Za-z0-9+])",
                copyright_file.read_text(errors="replace"),
            )
        )
        sources.append(f"{name} {package.pin.version}: apt-get source {_source(package)}")
    for text in sorted(texts):
        path = root / "usr/share/common-licenses" / text
        if path.is_file():
            _install(path, out / text)
    (out / "SOURCES").write_text("\n".join(sources) + "\n", encoding="utf-8")


def _source(package: Package) -> str:
    fields = _run("dpkg-deb", "-f", str(package.path), "Package", "Version", "Source")
    found: dict[str, str] = dict(re.findall(r"^(\w+): (.*)$", fields, re.MULTILINE))
    # "Source: glibc (2.41-12)", the version only where it differs; no such field where the name is the same
    source, _, version = found.get("Source", found["Package"]).partition(" ")
    return f"{source}={version.strip('()') or found['Version']}"


@contextmanager
def _fresh(final: Path) -> Iterator[Path]:
    """An empty directory that takes the place of `final` when its block ends well."""
    final.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{final.name}-", dir=final.parent) as scratch:
        draft, old = Path(scratch) / "new", Path(scratch) / "old"
        draft.mkdir(mode=0o755)
        yield draft
        if final.exists():
            final.rename(old)
        draft.rename(final)


def _install(source: Path, target: Path, *, mode: int = 0o644) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def _run(*command: str) -> str:
    environ = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except OSError as error:
        raise BundleError(f"{command[0]} does not run: {error.strerror}") from error
    if done.returncode != 0:
        said = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-5:])
        raise BundleError(f"{' '.join(command[:3])} ... failed with {done.returncode}:\n{said}")
    return done.stdout
