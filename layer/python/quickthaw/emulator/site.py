"""The site directory that stands for /var/runtime: awslambdaric and what it needs, for one Python version.

Installed once per version under build/runtime from the locked requirements, by
the pip of the Python that runs us: a Debian Python has none, and with
``--python-version`` any pip picks the wheels for any other version.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from quickthaw.errors import ToolFailed, Unavailable
from quickthaw.sandbox.layout import interpreter

_CHECKOUT = Path(__file__).resolve().parents[4]
REQUIREMENTS = Path("requirements/runtime.txt")  # versions and hashes, see the Makefile's lock target
CACHE = Path("build/runtime")


def runtime_site(python: Path, *, checkout: Path = _CHECKOUT) -> Path:
    """The site for this interpreter's version; installed when it is not there yet.

    Raises:
        Unavailable: Not run from a checkout, so there is no locked list to install from.
        ToolFailed: pip could not install it.
    """
    version = interpreter(python).version
    site = checkout / CACHE / version
    if not (site / "awslambdaric").is_dir():
        _make(site, checkout / REQUIREMENTS, version)
    _compile(site, python)
    return site


def _make(site: Path, requirements: Path, version: str) -> None:
    if not requirements.exists():
        raise Unavailable(
            f"there is no runtime client for Python {version}: {requirements} is missing",
            hint="run quickthaw from a checkout of its repository",
        )
    site.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the rename is atomic and two who install at once do not mix.
    with tempfile.TemporaryDirectory(prefix=f".{version}-", dir=site.parent) as scratch:
        fresh = Path(scratch) / "site"
        _install(requirements, fresh, version)
        fresh.chmod(0o755)
        try:
            fresh.rename(site)
        except OSError:
            if not (site / "awslambdaric").is_dir():  # else somebody was faster
                raise


def _install(requirements: Path, target: Path, version: str) -> None:
    command = [
        sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input",
        "--no-deps", "--require-hashes", "--only-binary=:all:", "--python-version", version,
        "--target", str(target), "-r", str(requirements),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolFailed(
            f"pip could not install the runtime client for Python {version}:\n{done.stderr.strip()[-1500:]}",
            hint=f"try it by hand: {' '.join(command)}",
        )
    for directory, _, _ in os.walk(target):
        os.chmod(directory, 0o755)  # uid 993 must get in, whatever our umask


def _compile(site: Path, python: Path) -> None:
    """Byte code for this very interpreter, as /var/runtime has it; pip compiles for the one that runs it.

    Inside the sandbox the site is read-only: without, each start would compile 50 ms long.
    """
    tag = interpreter(python).cache_tag
    if (site / "awslambdaric" / "__pycache__" / f"bootstrap.{tag}.pyc").exists() or not os.access(
        site, os.W_OK
    ):
        return
    # Unchecked: a start then asks for no source file's date. No site may change under a running function.
    command = [
        str(python),
        "-I",
        "-m",
        "compileall",
        "-q",
        "--invalidation-mode",
        "unchecked-hash",
        str(site),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolFailed(
            f"{site} could not be compiled: {done.stdout.strip()[-500:]}", hint=" ".join(command)
        )
