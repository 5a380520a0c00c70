"""``learn``: a snapshot gets the hot layout, or a better one.

The new snapshot is made beside the old one (files that stay are hard links)
and takes its place in one rename.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import lz4.frame

from quickthaw import names, plan
from quickthaw.checkpoint import describe
from quickthaw.checkpoint.replace import replacing
from quickthaw.emulator.run import FunctionSpec
from quickthaw.emulator.site import runtime_site
from quickthaw.errors import BadSnapshot, UsageError
from quickthaw.learn.record import record
from quickthaw.plan import carried, hot
from quickthaw.plan.build import PLAN, PlanSummary
from quickthaw.plan.resolve import from_sandbox
from quickthaw.sandbox.spec import SandboxSpec
from quickthaw.snapshot import manifest

HOT = "hot"  # file in native/: the hot set, kept for the next union
_PIECE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What was learned."""

    snapshot: Path
    events: int
    pages: int  # of the hot set
    new_pages: int  # not known before
    plan: PlanSummary


def learn(
    snapshot: Path,
    spec: FunctionSpec,
    events: Sequence[bytes],
    *,
    on_stage: Callable[[str], None] = lambda _stage: None,
) -> Learned:
    """Record the working set of events, join it with what is known, rewrite the native layout.

    Args:
        snapshot: the snapshot's directory.
        spec: how to start its function (task, python, layer, runtime).
        events: JSON texts.
        on_stage: called with what is being done.

    Raises:
        UsageError: no event.
        BadSnapshot: the snapshot is damaged.
        FunctionFailed: it did not thaw, or an event was not answered.
        CannotFreeze: the process cannot be thawed natively.
    """
    if not events:
        raise UsageError("there is nothing to learn from", hint="give at least one --event")
    found = manifest.read(str(snapshot))
    known = hot.read(snapshot / names.NATIVE / HOT) if (snapshot / names.NATIVE / HOT).exists() else None
    sandbox = SandboxSpec(
        python=spec.python,
        task=spec.task,
        layer=spec.layer,
        runtime=spec.runtime or runtime_site(spec.python),
    )
    resolve = from_sandbox(sandbox)
    images = snapshot / names.IMAGES
    with tempfile.TemporaryDirectory(prefix="quickthaw-pages-") as scratch:
        on_stage("decompress")
        pages = uncompressed(images, Path(scratch))
        on_stage("thaw and send events")
        unseen = carried.arguments(snapshot / names.NATIVE / PLAN)
        recorded = record(images, pages, spec, events, resolve=resolve, **unseen)
        both = recorded | known if known is not None else recorded
        with replacing(snapshot) as fresh:
            on_stage("write the hot layout")
            _link(snapshot, fresh)
            native = fresh / names.NATIVE
            native.mkdir()
            summary = plan.build(
                images,
                pages,
                native,
                layout="hot",
                hot=both,
                resolve=resolve,
                cpu_flags=found.cpu_flags,
                sources=[entry["path"] for entry in found.sources],
                context={"snapshot": found.id, "cold_init_s": found.cold_init_s},
                **unseen,
            )
            (native / HOT).write_text(both.dumps())
            for path in native.iterdir():
                path.chmod(0o644)
            native.chmod(0o755)
            body = {key: value for key, value in found.body.items() if key != "checksum"}
            body["files"] = describe.snapshot_files(fresh)
            (fresh / names.MANIFEST).write_bytes(manifest.seal(body))
    return Learned(
        snapshot=snapshot,
        events=len(events),
        pages=len(both.pages),
        new_pages=len(both.pages) - (len(known.pages) if known else 0),
        plan=summary,
    )


def uncompressed(images: Path, scratch: Path) -> dict[int, Path]:
    """Every pages-N of a snapshot as an uncompressed file, by N.

    Args:
        images: the snapshot's images.
        scratch: where to put what has to be decompressed.

    Raises:
        BadSnapshot: a compressed file is damaged.
    """
    found = {}
    for packed in sorted(images.glob("pages-*.img")):
        number = int(packed.name.split(".")[0].removeprefix("pages-"))
        raw = images / f"pages-{number}.img"
        if not raw.exists():
            raw = scratch / raw.name
            _decompress(packed, raw)
        found[number] = raw
    return found


def _decompress(packed: Path, raw: Path) -> None:
    decoder = lz4.frame.LZ4FrameDecompressor()
    try:
        with packed.open("rb") as source, raw.open("wb") as out:
            while not decoder.eof and (piece := source.read(_PIECE)):
                out.write(decoder.decompress(piece))
    except RuntimeError as error:
        raise BadSnapshot(f"{packed} is damaged: {error}", hint="make the snapshot again") from error
    if not decoder.eof:
        raise BadSnapshot(f"{packed} is cut off", hint="make the snapshot again")


def _link(old: Path, fresh: Path) -> None:
    """Hard links to everything of a snapshot but its native layout and its manifest."""
    for path in sorted(old.rglob("*")):
        inner = path.relative_to(old)
        if inner.parts[0] in (names.NATIVE, names.MANIFEST):
            continue
        if path.is_dir():
            (fresh / inner).mkdir()
            (fresh / inner).chmod(path.stat().st_mode & 0o777)
        else:
            os.link(path, fresh / inner)
