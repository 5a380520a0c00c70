"""Thaws a snapshot once, sends events, and tells which pages that took.

The thaw is made from a scratch snapshot in the lazy layout, so that nothing
is in memory but what is touched.  All events go to one environment; what the
wake and the runtime client touch on the way to the first event is part of it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from quickthaw import criuimg, names, plan
from quickthaw.criuimg import records as r
from quickthaw.emulator.run import FunctionSpec, run_environment
from quickthaw.errors import FunctionFailed
from quickthaw.learn import touched
from quickthaw.plan.hot import HotSet

LEARN = "learn"  # the restorer's switch: map no more file pages than are touched


def record(
    images: Path,
    pages: Mapping[int, Path] | None,
    spec: FunctionSpec,
    events: Sequence[bytes],
    *,
    resolve: Callable[[str], Path],
    **unseen: Any,
) -> HotSet:
    """The working set of a thaw and of these events.

    Args:
        images: CRIU's images.
        pages: their uncompressed pages, as for ``plan.build``.
        spec: how to start the function; snapshot and engine are set here.
        events: at least one, JSON text.
        resolve: as for ``plan.build``.
        unseen: arguments for ``plan.build`` that the images do not tell.

    Raises:
        FunctionFailed: it did not thaw, or an event was not answered.
        CannotFreeze: the process cannot be thawed natively.
    """
    with tempfile.TemporaryDirectory(prefix="quickthaw-learn-", dir=_disk()) as scratch:
        snapshot = Path(scratch)
        snapshot.chmod(0o755)  # the sandbox's user reads it
        native = snapshot / names.NATIVE
        native.mkdir()
        plan.build(images, pages, native, layout="lazy", resolve=resolve, **unseen)
        for path in native.iterdir():
            touched.forget(path)
        process = criuimg.load(images)
        watch = _Watch(process)
        run = run_environment(
            replace(
                spec,
                snapshot=snapshot,
                engine="native",
                mode=None,
                env={**spec.env, names.ENV_NATIVE: LEARN},
                before_exec=watch.started,
            ),
            events,
            on_line=watch.line,
        )
    if run.engine != "native":
        raise FunctionFailed(
            f"the snapshot did not thaw: {run.reason}", hint="quickthaw doctor says what is missing"
        )
    if run.errors:
        raise FunctionFailed(
            f"the thawed function failed: {run.errors[0]}", hint="learn from events that it answers"
        )
    if watch.hot is None:
        raise FunctionFailed("the thawed function ended before its pages could be read")
    return watch.hot


def _disk() -> Path | None:
    """Where a file's pages can be dropped from the cache; /tmp may be memory itself."""
    disk = Path("/var/tmp")
    return disk if os.access(disk, os.W_OK) else None


class _Watch:
    """Reads the pages after every REPORT line: the process lives until the last of them is printed."""

    def __init__(self, process: criuimg.Process) -> None:
        special = r.AREA_VSYSCALL | r.AREA_VVAR | r.AREA_VDSO
        self._ranges = [(vma.start, vma.end) for vma in process.mm.vmas if not vma.status & special]
        self._pid: int | None = None
        self.hot: HotSet | None = None

    def started(self, pid: int) -> None:
        """Called with the host pid before the exec; a thaw keeps the pid."""
        self._pid = pid

    def line(self, line: str) -> None:
        """Called with every log line."""
        if "REPORT" not in line or self._pid is None:
            return
        try:
            self.hot = touched.pages(self._pid, self._ranges)
        except OSError:
            return  # it has crashed; the run's errors say so
