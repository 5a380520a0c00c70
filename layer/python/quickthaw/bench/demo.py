"""Build the demo function's task directory: what a deployment of ``handler/demo`` holds at /var/task.

Used by ``make demo``, by the tests, and by everybody who needs a real heavy
function.  `task_dir` returns ``build/task/<X.Y>``, built at most once per
state of the handler, its requirements and the interpreter:

- the packages are wheels installed by *our* pip for the *target's* ABI
  (``--python-version``), because Debian's own interpreter has no pip;
- byte code is compiled by the target, as unchecked-hash pycs: a zip changes
  modification times, so that time-stamped pycs would be stale on Lambda and
  every cold start would compile for seconds.  The cold starts that we compare
  with are therefore the fastest honest ones;
- test suites are left out, which brings the directory below Lambda's limit of
  250 MB unzipped;
- a directory is complete or not there: it is built beside its place and
  renamed, and its key is written last.

Rejected: ``sam build`` (needs the target interpreter with pip on PATH and
leaves stale pycs); hard links from the package cache (a test that damages a
library in its task directory would damage everybody's).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path

from quickthaw import names
from quickthaw.errors import ToolFailed, Unavailable

HANDLER = "app.handler"
RECIPE = "1"  # changed when this file builds something else from the same inputs
PLATFORMS = (
    "manylinux_2_28_x86_64",
    "manylinux_2_17_x86_64",
    "manylinux2014_x86_64",
)  # Lambda has glibc 2.34
LEFT_OUT = ("bin", "*/tests", "*/*/tests", "*/*/*/tests", "*/*/*/*/tests")


def root() -> Path:
    """Return the checkout that this package runs from.

    Raises:
        Unavailable: the package was installed without its repository.
    """
    checkout = Path(__file__).resolve().parents[4]
    if not (checkout / "handler" / "demo" / "app.py").is_file():
        raise Unavailable(
            f"the demo function is not beside this package ({checkout}/handler/demo)",
            hint="run it from a clone of the repository",
        )
    return checkout


def source_dir() -> Path:
    """Return the demo function's source directory."""
    return root() / "handler" / "demo"


def event_file(name: str = "risk") -> Path:
    """Return the path of a demo event; ``risk`` and ``risk-large`` are answered, ``risk-unknown`` refused."""
    return root() / "events" / f"{name}.json"


def python_version(python: Path) -> str:
    """Return ``X.Y`` of an interpreter.

    Raises:
        Unavailable: it does not run.
    """
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        found = subprocess.run([python, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Unavailable(f"{python} is no Python that runs: {error}", hint="pass --python PATH") from error
    return found.stdout.strip()


def task_dir(python: Path) -> Path:
    """Return the demo's task directory for ``python``, building it when its inputs have changed.

    Takes about 20 s and the package index the first time, milliseconds after that.

    Raises:
        Unavailable: no such interpreter, or no repository around this package.
        ToolFailed: pip could not install the requirements.
    """
    version = python_version(python)
    place = root() / "build" / "task"
    place.mkdir(parents=True, exist_ok=True)
    with _alone(place / f".{version}.lock"):
        packages = _packages(python, version, place)
        return _task(python, version, place, packages)


def state(task: Path) -> str:
    """Return the key of a built task directory: the same as long as the same was built."""
    return (task.parent / f".{task.name}.key").read_text()


def _packages(python: Path, version: str, place: Path) -> Path:
    """Install the requirements into a directory of their own, shared by all states of the handler."""
    requirements = source_dir() / "requirements.txt"
    key = _digest(version, requirements)
    done = place / f".packages-{version}-{key[:12]}"
    if done.is_dir():
        return done
    for stale in place.glob(f".packages-{version}-*"):
        shutil.rmtree(stale)
    fresh = place / f".packages-{version}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    abi = "cp" + version.replace(".", "")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    pip += ["--require-hashes", "--requirement", str(requirements), "--target", str(fresh)]
    pip += ["--only-binary=:all:", "--implementation=cp", f"--python-version={version}", f"--abi={abi}"]
    pip += [f"--platform={platform}" for platform in PLATFORMS]
    _run(pip, f"pip could not install {requirements}", hint="is the package index reachable?")
    for pattern in LEFT_OUT:
        for path in fresh.glob(pattern):
            shutil.rmtree(path)
    _compile(python, fresh)
    fresh.rename(done)
    return done


def _task(python: Path, version: str, place: Path, packages: Path) -> Path:
    """Put packages and handler together as ``<place>/<X.Y>``."""
    sources = sorted(source_dir().glob("*.py"))
    key = _digest(packages.name, *sources)
    done, key_file = place / version, place / f".{version}.key"
    if done.is_dir() and key_file.is_file() and key_file.read_text() == key:
        return done
    fresh = place / f".{version}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(packages, fresh, symlinks=True)
    for source in sources:
        shutil.copy(source, fresh)
        (fresh / source.name).chmod(0o644)  # the function runs as another user
    _compile(python, fresh, depth=0)
    key_file.unlink(missing_ok=True)
    shutil.rmtree(done, ignore_errors=True)
    fresh.rename(done)
    key_file.write_text(key)
    return done


def _compile(python: Path, tree: Path, *, depth: int = 12) -> None:
    """Write pycs that need no check of the source, with the paths that tracebacks show on Lambda."""
    command = [str(python), "-m", "compileall", "-q", "-f", "-r", str(depth), "--invalidation-mode"]
    command += ["unchecked-hash", "-j", "2", "-s", str(tree), "-p", names.TASK_PATH, str(tree)]
    _run(command, f"{python} could not compile {tree}", hint="the interpreter needs its standard library")


def _run(command: list[str], problem: str, *, hint: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, umask=0o022, check=False)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise ToolFailed(f"{problem}: {' / '.join(last)}", hint=hint)


def _digest(*parts: str | Path) -> str:
    seen = hashlib.sha256(RECIPE.encode())
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else part.encode()
        seen.update(len(data).to_bytes(8) + data)
    return seen.hexdigest()


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Let one process at a time build: tests and a demo may ask for the same directory at once."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        flock(descriptor, LOCK_EX)
        yield
    finally:
        os.close(descriptor)
