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
    if (site / "awslambdaric").is_dir():
        return site
    requirements = checkout / REQUIREMENTS
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
    return site


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
