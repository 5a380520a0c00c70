"""Which engine would start a function here, and why not a better one.

The restorer and CRIU are run, not looked for.  The reasons are in the words
that the log of a real start would have.  No snapshot is known here: one that
does not fit (another CPU, other library files) declines for itself.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from quickthaw import names
from quickthaw.probe.finding import Finding, refusal
from quickthaw.runtime import checks

_DEADLINE_S = 20.0  # criu check takes 0.1 s
_NO_PLAN = "no native plan"  # how the restorer declines where there is no snapshot
_SAY = f"import os; print(os.environ.get({names.ENV_DECLINED!r}, ''))"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The choice.

    Attributes:
        engine: native, criu or cold.
        reason: why not a better one; None for native.
        notes: what will be slower or different, and still works.
    """

    engine: str
    reason: str | None
    notes: tuple[str, ...]


def findings(layer: Path | None) -> Iterator[Finding]:
    """The two programs of the layer, tried.

    Args:
        layer: what lies at /opt on Lambda; None: there is none.
    """
    yield _restorer(layer)
    yield from _criu(layer)


def verdict(found: Mapping[str, Finding]) -> Verdict:
    """What `auto` comes to, from everything that was found."""
    reason = _against_native(found)
    if reason is None:
        return Verdict(engine="native", reason=None, notes=tuple(_native_notes(found)))
    if not checks.criu_permitted():
        return Verdict(engine="cold", reason=f"{reason}; {checks.CRIU_NOT_PERMITTED}", notes=())
    check = found["criu_check"]
    if not check.ok:
        return Verdict(engine="cold", reason=f"{reason}; criu check: {check.note}", notes=())
    return Verdict(engine="criu", reason=reason, notes=())


def _against_native(found: Mapping[str, Finding]) -> str | None:
    restorer = found["restorer"]
    if not restorer.ok:
        return restorer.note
    limit = found["RLIMIT_NOFILE"].value
    if isinstance(limit, int) and limit <= names.TELEMETRY_FD:
        return f"descriptor {names.TELEMETRY_FD} is above the limit of {limit} open files"
    return None


def _native_notes(found: Mapping[str, Finding]) -> Iterator[str]:
    if not found["PR_SET_MM_MAP"].ok:
        yield (
            "PR_SET_MM_MAP is refused: the heap grows by mmap, and the thaw is tried again "
            "while the kernel's brk is above the heap"
        )
    if not found["mremap_vdso"].ok:
        yield "the vdso cannot be moved: it stays where it is, and jumps lead there"
    if not found["MADV_POPULATE_WRITE"].ok:
        yield "MADV_POPULATE_WRITE is refused: pages are faulted in one by one"
    if not found["MADV_HUGEPAGE"].ok:
        yield "no huge pages: the lz4 layout takes two to three times as long"
    if not found["memfd_create"].ok:
        yield "memfd_create is refused: functions that hold a memory file start cold"


def _restorer(layer: Path | None) -> Finding:
    """Runs it on no snapshot: it must decline, and start what it was told to start instead."""
    name, group = "restorer", "engines"
    program = None if layer is None else layer / "native" / "thaw"
    if program is None or not program.exists():
        return Finding(name=name, group=group, ok=False, note="the native restorer is not in this layer")
    try:
        done = _run([str(program), "/nonexistent", sys.executable, "-I", "-S", "-c", _SAY])
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(name=name, group=group, ok=False, note=_words(error))
    said = done.stdout.strip()
    if done.returncode or not said:
        why = (done.stderr.strip() or f"it ended with {done.returncode}")[-300:]
        return Finding(name=name, group=group, ok=False, note=f"the native restorer does not run: {why}")
    if not said.startswith(_NO_PLAN):
        return Finding(name=name, group=group, ok=False, note=said)
    return Finding(name=name, group=group, ok=True, value=platform.machine(), note="runs, and can decline")


def _criu(layer: Path | None) -> Iterator[Finding]:
    program = Path(os.environ.get(names.ENV_CRIU) or (layer or Path(names.LAYER_PATH)) / "criu" / "criu")
    if not program.exists():
        for name in ("criu_version", "criu_check"):
            yield Finding(name=name, group="engines", ok=False, note=f"there is no CRIU at {program}")
        return
    yield _tried("criu_version", [str(program), "--version"])
    yield _tried("criu_check", [str(program), "check"])


def _tried(name: str, command: list[str]) -> Finding:
    try:
        done = _run(command)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(name=name, group="engines", ok=False, note=_words(error))
    said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    first = said[0].removeprefix("Version: ").rstrip(" :") if said else f"ended with {done.returncode}"
    if done.returncode:
        return Finding(name=name, group="engines", ok=False, note=first)
    return Finding(name=name, group="engines", ok=True, value=first)


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("QUICKTHAW_")}
    return subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=_DEADLINE_S, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def _words(error: OSError | subprocess.TimeoutExpired) -> str:
    return refusal(error) if isinstance(error, OSError) else f"no answer within {error.timeout:.0f} s"
