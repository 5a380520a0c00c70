"""A checkpoint from start to end: start the function as Lambda would, freeze, refuse, dump, pack, describe.

The function runs as Lambda's user in Lambda's layout, in namespaces of its
own; CRIU stands beside it in the same namespaces, as the same user, with the
capabilities that only CRIU needs.  So nothing in the images needs a privilege
or a path of this machine to come back.

Nothing replaces an existing snapshot before the new one is complete: the
manifest is written last, and the directory appears in one rename.
"""

from __future__ import annotations

import datetime
import json
import os
import secrets
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import quickthaw
from quickthaw import names
from quickthaw.checkpoint import describe, lacking, native, pack, refuse, start
from quickthaw.checkpoint.dump import CACHE, Frozen, Progress, freeze_and_dump, take_over
from quickthaw.checkpoint.order import CheckpointOrder
from quickthaw.checkpoint.replace import replacing
from quickthaw.emulator import run as emulator
from quickthaw.errors import FunctionFailed, UsageError
from quickthaw.sandbox.layout import inner_python
from quickthaw.secrets import verdict
from quickthaw.secrets.leak import Leak
from quickthaw.snapshot import manifest


@dataclass(frozen=True, kw_only=True)
class Checkpointed:
    """What was made.

    Attributes:
        out: the snapshot.
        id: its name in logs.
        cold_init_s: a cold start's init on this machine, seconds.
        import_s: the import at the freeze, seconds.
        dump_s: CRIU's dump, seconds.
        pack_s: compression and checksums, seconds.
        pages: by N.
        size: bytes of all files.
        mapped: how many files are mapped.
        native: the native engine's part.
        output: what the function printed on its way to the freeze point.
        allowed: what was given up, because --allow says so.
        criu_lacks: why the criu engine will start cold; empty where it thaws.
        secrets: what was found in it that `publish` will refuse; None where nobody looked.
    """

    out: Path
    id: str
    cold_init_s: float
    import_s: float
    dump_s: float
    pack_s: float
    pages: Mapping[str, pack.PackedPages]
    size: int
    mapped: int
    native: native.NativeLayout
    output: str
    allowed: tuple[str, ...]
    criu_lacks: tuple[str, ...]
    secrets: tuple[Leak, ...] | None


def checkpoint(order: CheckpointOrder, *, on_progress: Progress = lambda _stage, _done: None) -> Checkpointed:
    """Makes a snapshot.

    Args:
        order: what to freeze.
        on_progress: called with the stage and how much of it is done (0 to 1, None where unknown).

    Raises:
        UsageError: the order cannot be meant.
        FunctionFailed: import, warm-up or hooks failed.
        CannotFreeze: the function holds what no snapshot gives back.
        ToolFailed: CRIU failed; its log is in the text.
        Unavailable: no root, or a tool is missing.
    """
    if not order.task.is_dir():
        raise UsageError(
            f"{order.task} is no directory", hint="--task names the directory with the handler's module."
        )
    with replacing(order.out) as fresh:
        images = fresh / names.IMAGES
        images.mkdir(mode=0o700)
        os.chown(images, names.LAMBDA_UID, names.LAMBDA_GID)
        frozen = freeze_and_dump(order, images, on_progress)
        on_progress("cold start, to know what a thaw saves", None)
        cold = _cold_init(order)
        take_over(images)
        # Who allows that files of /tmp are given up has CRIU thaw where they lie in /tmp.
        left = () if "tmp" in order.allow else frozen.left
        lacks = lacking.of_criu(images, left, frozen.unreached)
        on_progress("plan and learn for the native engine", None)
        identity = secrets.token_hex(8)
        planned = native.lay_out(
            images,
            fresh,
            layout=order.layout,
            budget=order.budget,
            function=order.function(),
            sandbox=order.sandbox(images),
            events=[text.encode() for _, text in order.events],
            cpu_flags=describe.machine()["cpu_flags"],
            sources=[entry["path"] for entry in frozen.sources],
            context={"snapshot": identity, "cold_init_s": round(cold, 6)},
            left=frozen.left,
            wiped_on_fork=frozen.wiped_on_fork,
        )
        if planned.layout is None:
            refuse.enforce(
                [*frozen.native_only, *lacks],
                allow=order.allow,
                why=f" for the criu engine alone ({planned.reason})",
            )
        begin = time.monotonic()
        packed = pack.pack(
            images,
            level=order.level,
            block_size=order.block_size,
            keep_uncompressed=order.keep_uncompressed,
            on_bytes=lambda done, total: on_progress("compress", done / total if total else 1.0),
        )
        start.write(
            fresh,
            criu_version=frozen.criu_version,
            pid=frozen.pid,
            pipes=frozen.pipes,
            cache=CACHE if frozen.has_cache else None,
            kernel=describe.machine()["kernel"],
        )
        leaks = None
        if order.wanted is not None:
            leaks = verdict.found_in(
                fresh, order.wanted, on_progress=lambda done: on_progress("look for secrets", done)
            )
        on_progress("checksums", None)
        body = _body(order, identity, cold, frozen, lacks, packed, planned, fresh)
        if order.wanted is not None and leaks is not None:
            body["secrets"] = verdict.as_json(order.wanted, leaks)
        (fresh / names.MANIFEST).write_bytes(manifest.seal(body))
        pack_s = time.monotonic() - begin
        size = sum(path.stat().st_size for path in fresh.rglob("*") if path.is_file())
    return Checkpointed(
        out=order.out,
        id=identity,
        cold_init_s=cold,
        import_s=frozen.import_s,
        dump_s=frozen.dump_s,
        pack_s=pack_s,
        pages=packed,
        size=size,
        mapped=len(frozen.mapped),
        native=planned,
        output=frozen.output,
        allowed=tuple(one.what for one in frozen.allowed),
        criu_lacks=tuple(one.what for one in lacks),
        secrets=leaks,
    )


def _cold_init(order: CheckpointOrder) -> float:
    """Seconds from start to the first next() of an ordinary cold start; no event is sent."""
    run = emulator.initialise(order.function())
    if run.init_s is None:
        said = "\n".join(run.log)[-2000:]
        raise FunctionFailed(f"{order.handler} can be frozen, but does not start on the runtime:\n{said}")
    return run.init_s


def _body(
    order: CheckpointOrder,
    identity: str,
    cold_init_s: float,
    frozen: Frozen,
    lacks: Sequence[refuse.Refusal],
    packed: Mapping[str, pack.PackedPages],
    planned: native.NativeLayout,
    fresh: Path,
) -> dict[str, Any]:
    machine = describe.machine()
    body: dict[str, Any] = {
        "format": names.FORMAT,
        "id": identity,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "tool": {"quickthaw": quickthaw.__version__, "criu": frozen.criu_version},
        "machine": machine,
        "python": _python(order.python),
        "function": {
            "handler": order.handler,
            "task": str(order.task.resolve()),
            "events": [name for name, _ in order.events],
            "env_names": frozen.env_names,
            "hooks": frozen.hooks,
            "cold_init_s": round(cold_init_s, 6),
        },
        "process": {
            "pid": frozen.pid,
            "processes": 1,
            "threads": frozen.threads,
            "pipes": frozen.pipes,
            "allowed": [f"{one.kind}: {one.what}" for one in frozen.allowed],
            "criu_lacks": [one.what for one in lacks],
        },
        "mapped": frozen.mapped,
        "sources": frozen.sources,
        "pages": {number: pages.as_json() for number, pages in packed.items()},
        "native": {"layout": planned.layout, "reason": planned.reason},
    }
    if frozen.has_cache:
        body["criu_cache"] = {"kernel": machine["kernel"], "directory": CACHE}
    body["files"] = describe.snapshot_files(fresh)
    return body


def _python(python: Path) -> dict[str, str]:
    script = "import sys,json; print(json.dumps([sys.implementation.cache_tag, sys.version.split()[0]]))"
    tag, version = json.loads(
        subprocess.run([python, "-I", "-c", script], capture_output=True, check=True).stdout
    )
    return {"tag": tag, "version": version, "executable": inner_python(python)}
