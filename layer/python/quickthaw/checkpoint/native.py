"""The native engine's part of a new snapshot: a plan in the layout that was asked for, or the reason why not.

A function that the native engine cannot give back is still a snapshot, for the
criu engine; the reason stands in the manifest and in the checkpoint's table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quickthaw import names, plan
from quickthaw.emulator.run import FunctionSpec
from quickthaw.errors import CannotFreeze, FunctionFailed, UsageError
from quickthaw.learn.record import record
from quickthaw.learn.run import HOT
from quickthaw.plan.left import Entry
from quickthaw.plan.resolve import from_sandbox
from quickthaw.sandbox.spec import SandboxSpec

LAYOUTS = ("auto", "lz4", "lazy", "hot", "none")


@dataclass(frozen=True, kw_only=True)
class NativeLayout:
    """What the native engine got.

    Attributes:
        layout: lz4, lazy or hot; None where there is no plan.
        reason: why there is none, or why it is not the layout that was asked for.
        size: bytes of plan and pages.
    """

    layout: str | None
    reason: str | None
    size: int


def lay_out(
    images: Path,
    fresh: Path,
    *,
    layout: str,
    function: FunctionSpec,
    sandbox: SandboxSpec,
    events: Sequence[bytes],
    cpu_flags: Iterable[str],
    sources: Sequence[str],
    context: Mapping[str, object],
    left: Sequence[Entry] = (),
    wiped_on_fork: Sequence[tuple[int, int]] = (),
    budget: int | None = None,
) -> NativeLayout:
    """Writes `native/` of a snapshot whose pages are still uncompressed.

    `auto` is `hot`, learned from the warm-up events, where there are any.

    Args:
        images: CRIU's images.
        fresh: the snapshot directory.
        layout: one of LAYOUTS.
        function: how to start the function, to learn its hot set.
        sandbox: what the function was frozen in.
        events: the warm-up events.
        cpu_flags: processor flags that a thaw demands.
        sources: files that must be the same, besides the mapped ones.
        context: members added to the wake context.
        left: what the import left in /tmp.
        wiped_on_fork: as for `plan.build`.
        budget: bytes above which `auto` becomes `lz4`.

    Raises:
        UsageError: no such layout, or hot without events.
    """
    if layout not in LAYOUTS:
        raise UsageError(f"--layout {layout} is none of {', '.join(LAYOUTS)}")
    if layout == "none":
        return NativeLayout(layout=None, reason="not asked for", size=0)
    if layout == "hot" and not events:
        raise UsageError("--layout hot is learned from warm-up events", hint="Give at least one --event.")
    native = fresh / names.NATIVE
    native.mkdir(mode=0o755)
    resolve = from_sandbox(sandbox)
    unseen: dict[str, Any] = {"entries": left, "wiped_on_fork": wiped_on_fork}
    reason = hot = None
    try:
        if events and layout in ("auto", "hot"):
            try:
                hot = record(images, None, function, events, resolve=resolve, **unseen)
            except FunctionFailed as error:
                reason = f"nothing learned: {error}"
        wanted = "lz4" if layout == "hot" and hot is None else layout
        made = plan.build(
            images,
            None,
            native,
            layout=wanted,
            hot=hot,
            resolve=resolve,
            cpu_flags=cpu_flags,
            sources=sources,
            context=context,
            budget=budget,
            **unseen,
        )
        if layout == "auto" and made.layout == "lz4" and budget is not None:
            reason = f"any other takes more than {budget / 1e6:.0f} MB"
    except CannotFreeze as error:
        for path in native.iterdir():
            path.unlink()
        native.rmdir()
        return NativeLayout(layout=None, reason=str(error), size=0)
    if hot is not None:
        (native / HOT).write_text(hot.dumps())
    for path in native.iterdir():
        path.chmod(0o644)
    return NativeLayout(layout=made.layout, reason=reason, size=made.size)
