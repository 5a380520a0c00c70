"""From the start of the function to CRIU's images: freeze point, refusals, dump.

CRIU runs in the function's own namespaces, as its user, with the capabilities
that only CRIU needs.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from quickthaw import names, plan
from quickthaw.checkpoint import describe, lacking, refuse, relinquish
from quickthaw.checkpoint.conversation import Conversation
from quickthaw.checkpoint.order import INNER_WORK, CheckpointOrder
from quickthaw.emulator.environ import lambda_environ
from quickthaw.errors import ToolFailed
from quickthaw.plan import left
from quickthaw.runtime import criu_command
from quickthaw.sandbox.layout import inner_python, interpreter, layout
from quickthaw.sandbox.process import SandboxProcess, start
from quickthaw.sandbox.spec import SandboxSpec

Progress = Callable[[str, float | None], None]

CACHE = "cache"  # CRIU's kernel cache inside the snapshot
_NAME = "function"  # of the function at checkpoint, as the emulator names it
_KEYS = {  # shaped like keys, so that clients can be made; real ones are never in a snapshot
    "AWS_ACCESS_KEY_ID": "QUICKTHAWDUMMYKEY000",
    "AWS_SECRET_ACCESS_KEY": "quickthaw-dummy-secret",
    "AWS_SESSION_TOKEN": "quickthaw-dummy-token",
}
_DUMP_CAPS = frozenset({"CAP_CHECKPOINT_RESTORE", "CAP_SYS_PTRACE", "CAP_SYS_ADMIN"})


@dataclass(frozen=True, kw_only=True)
class Frozen:
    """What is known of the process when it has been dumped.

    Attributes:
        left: what the import left in /tmp.
        wiped_on_fork: memory that is zeroed in children; CRIU's images do not tell.
        native_only: what the criu engine could not give back.
        unreached: files with an OpenSSL of their own, whose generator the wake cannot renew.
        allowed: what was given up because the user took it upon themselves.
    """

    pid: int
    threads: int
    pipes: dict[int, int]
    env_names: list[str]
    hooks: dict[str, int]
    mapped: list[dict[str, Any]]
    sources: list[dict[str, Any]]
    import_s: float
    dump_s: float
    criu_version: str
    has_cache: bool
    left: tuple[left.Entry, ...]
    wiped_on_fork: tuple[tuple[int, int], ...]
    native_only: tuple[refuse.Refusal, ...]
    unreached: tuple[str, ...]
    allowed: tuple[refuse.Refusal, ...]
    output: str


class _Pipes:
    """The frozen process's standard streams and its three descriptors, as pipes of its own user.

    A context manager that closes what is ours of them.
    """

    def __init__(self) -> None:
        self._ours_is_all = True
        self.output_r, self.output_w = os.pipe()
        self.errors_r, self.errors_w = os.pipe()
        self.order_r, self.order_w = os.pipe()
        self.stage_r, self.stage_w = os.pipe()
        self.telemetry_r, self.telemetry_w = os.pipe()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._ours_is_all:
            self.close_inner()
        for fd in (self.output_r, self.errors_r, self.order_w, self.stage_r, self.telemetry_r):
            os.close(fd)

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
        self._ours_is_all = False
        for fd in set(self.inner().values()):
            os.close(fd)

    def inodes(self) -> dict[int, int]:
        """Inode of the pipe at each inner number: by it CRIU finds what to replace at a thaw."""
        return {inner: os.fstat(fd).st_ino for inner, fd in self.inner().items()}


def freeze_and_dump(order: CheckpointOrder, images: Path, on_progress: Progress) -> Frozen:
    """Starts the function, waits for the freeze point, looks at what it holds, dumps it.

    Args:
        order: what to freeze.
        images: existing directory of Lambda's user, for CRIU.
        on_progress: as for `run.checkpoint`.

    Raises:
        FunctionFailed: it did not reach the freeze point.
        CannotFreeze: it holds what no snapshot gives back; nothing was dumped.
        ToolFailed: CRIU failed; its log is in the text.
    """
    with _Pipes() as pipes:
        return _freeze_and_dump(order, images, pipes, on_progress)


def _freeze_and_dump(order: CheckpointOrder, images: Path, pipes: _Pipes, on_progress: Progress) -> Frozen:
    spec = order.sandbox(images)
    environ = _environ(order, spec)
    inodes = pipes.inodes()
    argv = [inner_python(order.python), "-m", "quickthaw.runtime.freeze"]
    passed = pipes.inner()
    process = start(spec, argv, environ, stdout=passed.pop(1), stderr=passed.pop(2), pass_fds=passed)
    talk = Conversation(pipes.stage_r, (pipes.output_r, pipes.errors_r), timeout_s=order.import_timeout_s)
    with process, talk:
        pipes.close_inner()
        document = {
            "handler": order.handler,
            "events": [text for _, text in order.events],
            "environ": environ,
        }
        os.write(pipes.order_w, (json.dumps(document) + "\n").encode())
        on_progress("import", None)
        stages = talk.until_frozen(lambda stage: on_progress(stage, None))
        allowed, native_only = _settle(process, order, pipes, talk, inodes)
        left_behind = left.collect(Path(f"/proc/{process.pid}/root/tmp"), ignore={Path(INNER_WORK).name})
        wiped = plan.wiped_on_fork(process.pid)
        mapped = describe.mapped_files(process.pid)
        sources = describe.source_files(process.pid, stages["frozen"]["modules"])
        threads = len(os.listdir(f"/proc/{process.pid}/task"))
        on_progress("dump", None)
        begin = time.monotonic()
        version = _criu(process, ["--version"]).stdout.decode().split("Version:")[-1].split()[0]
        has_cache = _kernel_cache(process)
        _dump(process, images)
        dump_s = time.monotonic() - begin
    return Frozen(
        pid=stages["frozen"]["pid"],
        threads=threads,
        pipes=inodes,
        env_names=[name for name in stages["frozen"]["env_names"] if name not in _BASELINE_NAMES],
        hooks=stages["frozen"]["hooks"],
        mapped=mapped,
        sources=sources,
        import_s=stages["imported"]["seconds"],
        dump_s=dump_s,
        criu_version=version,
        has_cache=has_cache,
        left=left_behind,
        wiped_on_fork=wiped,
        native_only=native_only,
        unreached=tuple(stages["frozen"]["unreached"]),
        allowed=allowed,
        output=talk.output(),
    )


def _settle(
    process: SandboxProcess,
    order: CheckpointOrder,
    pipes: _Pipes,
    talk: Conversation,
    inodes: Mapping[int, int],
) -> tuple[tuple[refuse.Refusal, ...], tuple[refuse.Refusal, ...]]:
    """Refuses what stands against a dump, gives up what may be given up.

    Returns:
        What was given up, and what only the native engine can give back.

    Raises:
        CannotFreeze: something stands against it, named with the object that holds it.
    """
    found = _refusals(process, inodes)
    against = [one for one in found if not one.native or order.layout == "none"]
    if any(one.kind not in order.allow for one in against):
        keys = [one.key for one in against if one.key is not None]
        wanted = {kind: [number for which, number in keys if which == kind] for kind, _ in keys}
        answer = talk.ask(pipes.order_w, {"holders": wanted}, "holders")
        holders = {(kind, number): path for kind, number, path in answer["found"]}
        only = all(one.native for one in against if one.kind not in order.allow)
        why = " for the criu engine alone (--layout none)" if only else ""
        refuse.enforce(against, why=why, allow=order.allow, holders=holders)
    given_up = tuple(one for one in against if one.kind in order.allow)
    if given_up:
        relinquish.give_up(given_up, process.pid, lambda what: talk.ask(pipes.order_w, what, "relinquished"))
        found = _refusals(process, inodes)
        still = [one for one in found if not one.native and one.kind not in relinquish.REMAIN]
        refuse.enforce(still, why=", not even without what --allow gives up")
    return given_up, tuple(one for one in found if one.native)


def _refusals(process: SandboxProcess, inodes: Mapping[int, int]) -> list[refuse.Refusal]:
    tables = process.run_inside(["/bin/cat", *(f"/proc/sysvipc/{name}" for name in ("shm", "sem", "msg"))])
    found = refuse.refusals(process.pid, inside=process.processes(), tables=tables.stdout.decode())
    return [*found, *lacking.of_both(process.pid, inodes)]


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
    place = names.TASK_PATH  # not looked at by CRIU's checks
    script = (
        f'XDG_RUNTIME_DIR={place} "$0" check --unprivileged;'
        f" mkdir {INNER_WORK}/{CACHE} && cp {place}/criu.kdat {INNER_WORK}/{CACHE}/"
    )
    done = process.run_inside(
        ["/bin/sh", "-c", script, names.CRIU_PATH],
        env={"PATH": "/usr/bin:/bin"},
        caps=frozenset({"CAP_CHECKPOINT_RESTORE"}),
        timeout=30,
        tmpfs=place,
    )
    return done.returncode == 0


def _dump(process: SandboxProcess, images: Path) -> None:
    argv = criu_command.dump(criu=names.CRIU_PATH, pid=process.inner_pid, images=INNER_WORK, work=INNER_WORK)
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


def take_over(images: Path) -> None:
    """The images become ours and readable for Lambda's user; CRIU's logs and statistics go."""
    for name in ("dump.log", "stats-dump"):
        (images / name).unlink(missing_ok=True)
    if (images / CACHE).exists():
        shutil.move(images / CACHE, images.parent / CACHE)
    for path in (
        images,
        *images.rglob("*"),
        *images.parent.glob(f"{CACHE}*"),
        *images.parent.glob(f"{CACHE}/*"),
    ):
        os.chown(path, os.geteuid(), os.getegid())
        path.chmod(0o755 if path.is_dir() else 0o644)
