"""One snapshot with each native layout, so that the native arms thaw the same process.

A snapshot holds one native layout.  The others are planned from its images
into copies (hard links where possible, so that nothing large is written but
the layout itself) and kept as long as the snapshot's id is theirs.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from quickthaw import names, plan
from quickthaw.checkpoint import describe
from quickthaw.checkpoint.replace import replacing
from quickthaw.errors import BadSnapshot, CannotFreeze
from quickthaw.learn.run import HOT, uncompressed
from quickthaw.plan import carried, hot
from quickthaw.plan.build import PLAN
from quickthaw.plan.resolve import from_sandbox
from quickthaw.sandbox.spec import SandboxSpec
from quickthaw.snapshot import manifest


@dataclass(frozen=True, kw_only=True)
class Layouts:
    """Which native layouts can be had, and why not the others.

    Attributes:
        snapshots: layout name to the snapshot that holds it.
        missing: layout name to the reason.
    """

    snapshots: dict[str, Path] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def provide(
    snapshot: Path, wanted: Iterable[str], place: Path, *, sandbox: SandboxSpec,
    on_stage: Callable[[str, float | None], None] = lambda _stage, _done: None,
) -> Layouts:  # fmt: skip
    """Find or make the snapshot with each of the wanted layouts.

    Args:
        place: directory for the copies, one per layout.
        sandbox: where the function lives; only its paths are used, to find mapped files.
        on_stage: called with what is being done.

    Raises:
        BadSnapshot: the snapshot is damaged.
    """
    found = manifest.read(str(snapshot))
    native = found.body.get("native") or {}
    layouts = Layouts()
    for layout in wanted:
        if native.get("layout") == layout:
            layouts.snapshots[layout] = snapshot
        elif not native.get("layout"):
            layouts.missing[layout] = native.get("reason") or "the snapshot has no native layout"
        elif layout == "hot" and not (snapshot / names.NATIVE / HOT).exists():
            layouts.missing[layout] = "nothing was learned (quickthaw learn)"
        elif _same(place / layout, found):
            layouts.snapshots[layout] = place / layout
        else:
            on_stage(f"plan the {layout} layout", None)
            try:
                layouts.snapshots[layout] = _copy_with(layout, snapshot, found, place / layout, sandbox)
            except CannotFreeze as error:
                layouts.missing[layout] = str(error)
    return layouts


def _same(copy: Path, found: manifest.Manifest) -> bool:
    try:
        return manifest.read(str(copy)).id == found.id
    except BadSnapshot:
        return False


def _copy_with(
    layout: str, snapshot: Path, found: manifest.Manifest, out: Path, sandbox: SandboxSpec
) -> Path:
    out.parent.mkdir(parents=True, exist_ok=True)
    learned = snapshot / names.NATIVE / HOT
    with tempfile.TemporaryDirectory(prefix="quickthaw-pages-") as scratch, replacing(out) as fresh:
        for entry in snapshot.iterdir():
            if entry.is_dir() and entry.name != names.NATIVE:
                shutil.copytree(entry, fresh / entry.name, copy_function=_link)
        native = fresh / names.NATIVE
        native.mkdir()
        plan.build(
            snapshot / names.IMAGES,
            uncompressed(snapshot / names.IMAGES, Path(scratch)),
            native,
            layout=layout,
            hot=hot.read(learned) if layout != "lz4" and learned.exists() else None,
            resolve=from_sandbox(sandbox),
            cpu_flags=found.cpu_flags,
            sources=[entry["path"] for entry in found.sources],
            context={"snapshot": found.id, "cold_init_s": found.cold_init_s},
            **carried.arguments(snapshot / names.NATIVE / PLAN),
        )
        for path in native.iterdir():
            path.chmod(0o644)  # the function runs as another user
        native.chmod(0o755)
        body = {key: value for key, value in found.body.items() if key != "checksum"}
        body["native"] = {"layout": layout, "reason": None}
        body["files"] = describe.snapshot_files(fresh)
        (fresh / names.MANIFEST).write_bytes(manifest.seal(body))
    return out


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
