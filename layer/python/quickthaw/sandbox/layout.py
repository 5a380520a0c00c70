"""Where things lie inside a sandbox, and which interpreter that means.

Everything that is put into a command line or an environment variable of the
function comes from here, so that kind "none", where nothing is moved, differs
in one place only.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from quickthaw.errors import Unavailable
from quickthaw.names import LANG_PATH, LAYER_PATH, RUNTIME_PATH, SNAPSHOT_PATH, TASK_PATH
from quickthaw.sandbox.spec import SandboxSpec

_ASK = (
    "import json,os,sys;"
    "b=getattr(sys,'_base_executable',None) or sys.executable;"
    "print(json.dumps([os.path.realpath(b),os.path.realpath(sys.base_prefix),"
    "'%d.%d'%sys.version_info[:2],sys.implementation.cache_tag]))"
)


@dataclass(frozen=True)
class Interpreter:
    """A Python as the host has it; version as in "3.11", tag as in "cpython-311"."""

    executable: Path
    prefix: Path
    version: str
    cache_tag: str

    @property
    def moved(self) -> bool:
        """True when the prefix is bound at /var/lang; /usr is there anyway."""
        return not self.prefix.is_relative_to("/usr")

    @property
    def inner(self) -> str:
        """The executable's path inside."""
        if self.moved:
            return f"{LANG_PATH}/{self.executable.relative_to(self.prefix)}"
        return str(self.executable)


@functools.lru_cache(maxsize=32)
def interpreter(python: Path) -> Interpreter:
    """Ask `python` what it is; a virtual environment answers with its base.

    Raises:
        Unavailable: It does not run.
    """
    try:
        asked = subprocess.run(
            [str(python), "-I", "-S", "-c", _ASK], capture_output=True, check=True, text=True
        )
        executable, prefix, version, cache_tag = json.loads(asked.stdout)
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        raise Unavailable(
            f"{python} is no Python that runs: {error}", hint="give another --python"
        ) from error
    found = Interpreter(Path(executable), Path(prefix), version, cache_tag)
    if found.moved and not found.executable.is_relative_to(found.prefix):
        raise Unavailable(
            f"{python}: its executable {executable} is outside of its prefix {prefix}",
            hint="give the interpreter inside the prefix with --python",
        )
    return found


@dataclass(frozen=True)
class Layout:
    """The paths that the function sees."""

    python: str
    task: str
    layer: str
    snapshot: str
    runtime: str
    lang_lib: str  # where the interpreter's own libraries are


def layout(spec: SandboxSpec) -> Layout:
    """The paths that hold inside a sandbox of this spec."""
    python = interpreter(spec.python)
    if spec.kind == "none":
        return Layout(
            python=str(python.executable),
            task=str(spec.task or Path.cwd()),
            layer=str(spec.layer or LAYER_PATH),
            snapshot=str(spec.snapshot or SNAPSHOT_PATH),
            runtime=str(spec.runtime or RUNTIME_PATH),
            lang_lib=str(python.prefix / "lib"),
        )
    lang_lib = f"{LANG_PATH}/lib" if python.moved else str(python.prefix / "lib")
    return Layout(python.inner, TASK_PATH, LAYER_PATH, SNAPSHOT_PATH, RUNTIME_PATH, lang_lib)


def inner_python(python: Path) -> str:
    """Path of that interpreter as seen inside the sandbox."""
    return interpreter(python).inner


def others_can_enter(directory: Path) -> bool:
    """True if a foreign user may list and search this directory (its own mode, not its parents')."""
    return os.stat(directory).st_mode & 0o005 == 0o005
