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
import platform
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import quickthaw
from quickthaw import names
from quickthaw.checkpoint import describe, native, pack, refuse
from quickthaw.checkpoint.replace import replacing
from quickthaw.emulator import run as emulator
from quickthaw.emulator.environ import lambda_environ
from quickthaw.errors import CannotFreeze, FunctionFailed, ToolFailed, UsageError
from quickthaw.runtime import criu_command
from quickthaw.sandbox.layout import inner_python, interpreter, layout
from quickthaw.sandbox.process import SandboxProcess, start
from quickthaw.sandbox.spec import Bind, SandboxSpec
from quickthaw.snapshot import manifest

_INNER_WORK = "/tmp/quickthaw-checkpoint"  # where CRIU finds the staging directory
_NAME = "function"  # of the function at checkpoint, as the emulator names it
_CACHE = "cache"  # CRIU's kernel cache inside the snapshot
_KEYS = {  # shaped like keys, so that clients can be made; real ones are never in a snapshot
    "AWS_ACCESS_KEY_ID": "QUICKTHAWDUMMYKEY000",
    "AWS_SECRET_ACCESS_KEY": "quickthaw-dummy-secret",
    "AWS_SESSION_TOKEN": "quickthaw-dummy-token",
}
_DUMP_CAPS = frozenset({"CAP_CHECKPOINT_RESTORE", "CAP_SYS_PTRACE", "CAP_SYS_ADMIN"})


@dataclass(frozen=True, kw_only=True)
class CheckpointOrder:
    """What to freeze and how.

    Attributes:
        task: the function's directory.
        handler: `module.function`.
        events: warm-up events, name and JSON text.
        out: the snapshot directory to make or replace.
        python: interpreter of the function, on this machine.
        runtime: site directory with awslambdaric for that interpreter.
        layer: the built layer.
        environ: what the function sees besides Lambda's own variables.
        level: LZ4 HC level; None leaves pages uncompressed.
        block_size: bytes of an LZ4 block.
        keep_uncompressed: keep pages-N.img beside the compressed file.
        layout: of the native engine's pages, one of `native.LAYOUTS`.
        import_timeout_s: seconds the function may take to reach the freeze point.
    """

    task: Path
    handler: str
    events: Sequence[tuple[str, str]]
    out: Path
    python: Path
    runtime: Path
    layer: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    level: int | None = names.LZ4_LEVEL
    block_size: int = names.BLOCK_SIZE
    keep_uncompressed: bool = False
    layout: str = "auto"
    import_timeout_s: float = 300.0


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


Progress = Callable[[str, float | None], None]


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
        frozen = _freeze_and_dump(order, images, on_progress)
        on_progress("cold start, to know what a thaw saves", None)
        cold = _cold_init(order)
        _take_over(images)
        on_progress("plan and learn for the native engine", None)
        identity = secrets.token_hex(8)
        planned = native.lay_out(
            images,
            fresh,
            layout=order.layout,
            function=_function(order),
            sandbox=_sandbox(order, images),
            events=[text.encode() for _, text in order.events],
            cpu_flags=describe.machine()["cpu_flags"],
            context={"snapshot": identity, "cold_init_s": round(cold, 6)},
        )
        begin = time.monotonic()
        packed = pack.pack(
            images,
            level=order.level,
            block_size=order.block_size,
            keep_uncompressed=order.keep_uncompressed,
            on_bytes=lambda done, total: on_progress("compress", done / total if total else 1.0),
        )
        on_progress("checksums", None)
        body = _body(order, identity, cold, frozen, packed, planned, fresh)
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
    )


def _function(order: CheckpointOrder) -> emulator.FunctionSpec:
    return emulator.FunctionSpec(
        task=order.task,
        handler=order.handler,
        python=order.python,
        runtime=order.runtime,
        layer=order.layer,
        env=order.environ,
    )


def _sandbox(order: CheckpointOrder, images: Path) -> SandboxSpec:
    return SandboxSpec(
        python=order.python,
        task=order.task,
        layer=order.layer,
        snapshot=None,
        runtime=order.runtime,
        kind="freeze",
        binds=(Bind(images, _INNER_WORK, writable=True),),
        pid_floor=names.MIN_PID,
    )


def _cold_init(order: CheckpointOrder) -> float:
    """Seconds from start to the first next() of an ordinary cold start."""
    # The answer does not matter here, only that the function gets as far as asking for an event.
    event = order.events[0][1] if order.events else "{}"
    run = emulator.run_environment(_function(order), [event.encode()])
    if run.init_s is None:
        said = "\n".join(run.log)[-2000:]
        raise FunctionFailed(f"{order.handler} can be frozen, but does not start on the runtime:\n{said}")
    return run.init_s


@dataclass(frozen=True, kw_only=True)
class _Frozen:
    """What is known of the process when it has been dumped."""

    pid: int
    threads: int
    pipes: dict[int, int]
    env_names: list[str]
    hooks: dict[str, int]
    mapped: list[dict[str, Any]]
    import_s: float
    dump_s: float
    criu_version: str
    has_cache: bool
    output: str


class _Pipes:
    """The frozen process's standard streams and its three descriptors, as pipes of its own user."""

    def __init__(self) -> None:
        self.output_r, self.output_w = os.pipe()
        self.errors_r, self.errors_w = os.pipe()
        self.order_r, self.order_w = os.pipe()
        self.stage_r, self.stage_w = os.pipe()
        self.telemetry_r, self.telemetry_w = os.pipe()

    def inner(self) -> dict[int, int]:
        """Inner number of each passed descriptor."""
        return {
            1: self.output_w,
            2: self.errors_w,
            names.THAW_FD: self.order_r,
            names.WOKE_FD: self.stage_w,
            names.TELEMETRY_FD: self.telemetry_w,
        }

    def close_inner(self) -> None:
        """Our copies of the function's ends, so that its end is seen as end of file."""
        for fd in set(self.inner().values()):
            os.close(fd)

    def inodes(self) -> dict[int, int]:
        """Inode of the pipe at each inner number: by it CRIU finds what to replace at a thaw."""
        return {inner: os.fstat(fd).st_ino for inner, fd in self.inner().items()}


def _freeze_and_dump(order: CheckpointOrder, images: Path, on_progress: Progress) -> _Frozen:
    spec = _sandbox(order, images)
    environ = _environ(order, spec)
    pipes = _Pipes()
    inodes = pipes.inodes()
    argv = [inner_python(order.python), "-m", "quickthaw.runtime.freeze"]
    passed = pipes.inner()
    process = start(spec, argv, environ, stdout=passed.pop(1), stderr=passed.pop(2), pass_fds=passed)
    with process:
        pipes.close_inner()
        from quickthaw.checkpoint.conversation import Conversation

        talk = Conversation(pipes.stage_r, (pipes.output_r, pipes.errors_r), timeout_s=order.import_timeout_s)
        document = {
            "handler": order.handler,
            "events": [text for _, text in order.events],
            "environ": environ,
        }
        os.write(pipes.order_w, (json.dumps(document) + "\n").encode())
        on_progress("import", None)
        stages = talk.until_frozen(lambda stage: on_progress(stage, None))
        found = refuse.refusals(process.pid)
        if found:
            raise CannotFreeze(
                "this function cannot be frozen:\n"
                + "\n".join(f"  {one.what}\n      {one.remedy}" for one in found),
                hint="The old snapshot, if there is one, is unchanged.",
            )
        mapped = describe.mapped_files(process.pid)
        threads = len(os.listdir(f"/proc/{process.pid}/task"))
        on_progress("dump", None)
        begin = time.monotonic()
        version = _criu(process, ["--version"]).stdout.decode().split("Version:")[-1].split()[0]
        has_cache = _kernel_cache(process)
        _dump(process, images)
        dump_s = time.monotonic() - begin
    return _Frozen(
        pid=stages["frozen"]["pid"],
        threads=threads,
        pipes=inodes,
        env_names=[name for name in stages["frozen"]["env_names"] if name not in _BASELINE_NAMES],
        hooks=stages["frozen"]["hooks"],
        mapped=mapped,
        import_s=stages["imported"]["seconds"],
        dump_s=dump_s,
        criu_version=version,
        has_cache=has_cache,
        output=talk.output(),
    )


def _environ(order: CheckpointOrder, spec: SandboxSpec) -> dict[str, str]:
    """Lambda's environment, with nothing of this machine's and no key that opens anything."""
    where = layout(spec)
    return lambda_environ(
        where,
        name=_NAME,
        handler=order.handler,
        version=interpreter(order.python).version,
        memory_mb=spec.memory_mb,
        api="127.0.0.1:9",  # the discard port: before the wake nobody has anything to ask there
        log_format="Text",
        engine="off",
        mode=None,
        own={
            # Lambda's managed runtimes have the layer's directory on sys.path as well.
            "PYTHONPATH": f"{where.runtime}:{where.layer}/python",
            **order.environ,
            **_KEYS,
            **describe.BASELINE_ENVIRON.get(platform.machine(), {}),
        },
    )


_BASELINE_NAMES = {name for environ in describe.BASELINE_ENVIRON.values() for name in environ}


def _criu(process: SandboxProcess, argv: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
    return process.run_inside([names.CRIU_PATH, *argv], **options)


def _kernel_cache(process: SandboxProcess) -> bool:
    """Lets CRIU probe the kernel once, for all thaws on this kernel.

    CRIU writes its cache to a tmpfs only, and reads it from anywhere.
    """
    place = "/tmp/criu-cache"
    script = (
        f'mkdir -p {place} {_INNER_WORK}/{_CACHE} && XDG_RUNTIME_DIR={place} "$0" check --unprivileged;'
        f" cp {place}/criu.kdat {_INNER_WORK}/{_CACHE}/"
    )
    done = process.run_inside(
        ["/bin/sh", "-c", script, names.CRIU_PATH],
        env={"PATH": "/usr/bin:/bin"},
        caps=frozenset({"CAP_CHECKPOINT_RESTORE"}),
        timeout=30,
    )
    return done.returncode == 0


def _dump(process: SandboxProcess, images: Path) -> None:
    argv = criu_command.dump(
        criu=names.CRIU_PATH, pid=process.inner_pid, images=_INNER_WORK, work=_INNER_WORK
    )
    done = process.run_inside(argv, caps=_DUMP_CAPS, timeout=120)
    if done.returncode != 0:
        log = images / "dump.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        errors = [line for line in lines if "Error" in line and "RLIMIT" not in line]
        words = "\n".join(errors[:5]) or done.stderr.decode(errors="replace")[-1000:]
        raise ToolFailed(
            f"criu dump ended with {done.returncode}:\n{words}",
            hint="`quickthaw doctor` shows what is missing.",
        )


def _take_over(images: Path) -> None:
    """The images become ours and readable for Lambda's user; CRIU's logs and statistics go."""
    for name in ("dump.log", "stats-dump"):
        (images / name).unlink(missing_ok=True)
    if (images / _CACHE).exists():
        shutil.move(images / _CACHE, images.parent / _CACHE)
    for path in (
        images,
        *images.rglob("*"),
        *images.parent.glob(f"{_CACHE}*"),
        *images.parent.glob(f"{_CACHE}/*"),
    ):
        os.chown(path, os.geteuid(), os.getegid())
        path.chmod(0o755 if path.is_dir() else 0o644)


def _body(
    order: CheckpointOrder,
    identity: str,
    cold_init_s: float,
    frozen: _Frozen,
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
        "process": {"pid": frozen.pid, "processes": 1, "threads": frozen.threads, "pipes": frozen.pipes},
        "mapped": frozen.mapped,
        "pages": {number: pages.as_json() for number, pages in packed.items()},
        "native": {"layout": planned.layout, "reason": planned.reason},
    }
    if frozen.has_cache:
        body["criu_cache"] = {"kernel": machine["kernel"], "directory": _CACHE}
    body["files"] = describe.snapshot_files(fresh)
    return body


def _python(python: Path) -> dict[str, str]:
    script = "import sys,json; print(json.dumps([sys.implementation.cache_tag, sys.version.split()[0]]))"
    tag, version = json.loads(
        subprocess.run([python, "-I", "-c", script], capture_output=True, check=True).stdout
    )
    return {"tag": tag, "version": version, "executable": inner_python(python)}
