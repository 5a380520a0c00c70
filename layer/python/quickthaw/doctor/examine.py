"""Runs the probe here, and inside the sandbox, each in a process of its own.

Both run the same files of this package (inside they are bound below the task
directory), never those of a built layer, which may be older; the layer is
what is examined: its restorer and its CRIU are run.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import quickthaw
from quickthaw.errors import ToolFailed
from quickthaw.names import LAYER_PATH, TASK_PATH
from quickthaw.sandbox.layout import interpreter, layout
from quickthaw.sandbox.process import start
from quickthaw.sandbox.spec import Bind, SandboxSpec

_DEADLINE_S = 120.0  # of a whole survey, which takes a second; each question has its own
_PACKAGE = Path(quickthaw.__file__).resolve().parent
_DISK = "/disk-sample"  # where the path to read lies inside


@dataclass(frozen=True, kw_only=True)
class Examined:
    """One place.

    Attributes:
        place: "here" or "lambda".
        document: what `quickthaw.probe.survey` found there.
    """

    place: str
    document: dict[str, Any]


def here(*, python: Path, layer: Path | None, disk: Path | None = None) -> Examined:
    """The machine as it is for whoever calls.

    Args:
        python: interpreter to run the probe with.
        layer: the built layer; None: there is none.
        disk: file or directory to read from, see `quickthaw.probe.survey`.

    Raises:
        ToolFailed: the probe did not come to an end.
    """
    command = [str(interpreter(python).executable), "-m", "quickthaw.probe"]
    command += _options(layer, disk)
    environ = {**os.environ, "PYTHONPATH": str(_PACKAGE.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(command, env=environ, capture_output=True, timeout=_DEADLINE_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ToolFailed(f"the probe did not end within {_DEADLINE_S:.0f} s") from error
    return Examined(place="here", document=_document("here", done.returncode, done.stdout, done.stderr))


def inside(
    *, python: Path, layer: Path | None, disk: Path | None = None, deny: frozenset[str] = frozenset()
) -> Examined:
    """The Lambda-like sandbox.

    Args:
        deny: single refusals, see `quickthaw.sandbox.spec.DENIALS`; the rest as for `here`.

    Raises:
        Unavailable: not root, or no bubblewrap.
        ToolFailed: the probe did not come to an end.
    """
    binds = [Bind(_PACKAGE, f"{TASK_PATH}/{_PACKAGE.name}")]
    if disk is not None:
        binds.append(Bind(disk, _DISK))
    spec = SandboxSpec(python=python, layer=layer, binds=tuple(binds), deny=deny)
    where = layout(spec)
    options = _options(layer and Path(LAYER_PATH), disk and Path(_DISK))
    environ = {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "LD_LIBRARY_PATH": where.lang_lib,
        "PYTHONPATH": where.task,
    }
    command = [where.python, "-m", "quickthaw.probe", *options]
    with (
        os.fdopen(os.memfd_create("doctor-out"), "r+b") as out,
        os.fdopen(os.memfd_create("doctor-errors"), "r+b") as errors,
        start(spec, command, environ, stdout=out.fileno(), stderr=errors.fileno()) as process,
    ):
        code = process.wait(_DEADLINE_S)
        if code is None:
            raise ToolFailed(f"the probe in the sandbox did not end within {_DEADLINE_S:.0f} s")
        out.seek(0)
        errors.seek(0)
        return Examined(place="lambda", document=_document("lambda", code, out.read(), errors.read()))


def _options(layer: Path | None, disk: Path | None) -> list[str]:
    options = [] if layer is None else ["--layer", str(layer)]
    return options if disk is None else [*options, "--disk", str(disk)]


def _document(place: str, code: int, out: bytes, errors: bytes) -> dict[str, Any]:
    if code:
        words = errors.decode(errors="replace").strip()[-1500:] or "no word why"
        raise ToolFailed(f"the probe failed ({place}) with {code}: {words}")
    document: dict[str, Any] = json.loads(out)
    return document
