"""Where a path of the frozen process lies on the build machine.

The function was frozen in Lambda's layout, /var/task and the rest bound from
directories of this machine; the planner needs the mapped files themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath

from quickthaw import names
from quickthaw.sandbox.layout import interpreter
from quickthaw.sandbox.spec import SandboxSpec


def from_sandbox(spec: SandboxSpec) -> Callable[[str], Path]:
    """A function from inner to host paths, for ``plan.build(resolve=...)``."""
    if spec.kind == "none":
        return Path
    python = interpreter(spec.python)
    bound: list[tuple[str, Path | None]] = [(bind.inner, bind.host) for bind in spec.binds]
    bound += [
        (names.SNAPSHOT_PATH, spec.snapshot),
        (names.TASK_PATH, spec.task),
        (names.RUNTIME_PATH, spec.runtime),
        (names.LAYER_PATH, spec.layer),
        (names.LANG_PATH, python.prefix if python.moved else None),
    ]

    def resolve(path: str) -> Path:
        for inner, host in bound:
            if host is not None and PurePosixPath(path).is_relative_to(inner):
                return host / PurePosixPath(path).relative_to(inner)
        return Path(path)

    return resolve
