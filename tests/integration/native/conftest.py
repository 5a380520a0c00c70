"""Freezes victims with the real CRIU, and thaws them with the real restorer in Lambda's sandbox.

Nothing of the runtime client is in between: a victim blocks in the read that
the freeze code blocks in, and answers on its standard output.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from quickthaw import criuimg, names, plan
from quickthaw.criuimg import Process
from quickthaw.plan import left
from quickthaw.plan.hot import HotSet
from quickthaw.plan.resolve import from_sandbox
from quickthaw.runtime import criu_command
from quickthaw.sandbox.layout import layout
from quickthaw.sandbox.process import SandboxProcess, start
from quickthaw.sandbox.spec import Bind, Kind, SandboxSpec

ROOT = Path(__file__).resolve().parents[3]
VICTIMS = ROOT / "tests" / "victims" / "native"
DEADLINE_S = 30.0
DUMP_CAPS = frozenset({"CAP_CHECKPOINT_RESTORE", "CAP_SYS_PTRACE", "CAP_SYS_ADMIN"})
FALLBACK = ["/bin/sh", "-c", 'echo "declined: $QUICKTHAW_DECLINED"']
WAKE = {
    "VICTIM_TEXT": 'quote " backslash \\ tab \t end\x01',
    "VICTIM_BYTES": os.fsdecode(b"\xff\xfe\xc3\xa9"),
}


def read_until(fd: int, stop: bytes | None) -> bytes:
    """Bytes up to and with `stop`, or up to end of file; fails at the deadline."""
    data, deadline = b"", time.monotonic() + DEADLINE_S
    while stop is None or stop not in data:
        ready, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            pytest.fail(f"nothing more came after {data[-2000:]!r}")
        piece = os.read(fd, 65536)
        if not piece:
            break
        data += piece
    return data


@dataclass(frozen=True, kw_only=True)
class Frozen:
    """A victim's images."""

    images: Path
    spec: SandboxSpec
    threads: int
    wiped_on_fork: tuple[tuple[int, int], ...]
    entries: tuple[left.Entry, ...]

    @property
    def process(self) -> Process:
        """The images, read."""
        return criuimg.load(self.images)

    def plan(self, out: Path, layout: str, **more: Any) -> plan.PlanSummary:
        """Write a snapshot that has only a native directory; readable for everybody."""
        native = out / names.NATIVE
        native.mkdir(parents=True, exist_ok=True)
        settings = {"entries": self.entries, "wiped_on_fork": self.wiped_on_fork, "level": 3, **more}
        summary = plan.build(
            self.images, None, native, layout=layout, resolve=from_sandbox(self.spec), **settings
        )
        out.chmod(0o755)
        native.chmod(0o755)
        for path in native.iterdir():
            path.chmod(0o644)
        return summary


@dataclass
class Thawed:
    """A restorer that was started; what came of it."""

    process: SandboxProcess
    output_fd: int
    output: bytes = b""

    def answer(self) -> dict[str, Any]:
        """The victim's line; fails with all output when it is no such line."""
        self.output += read_until(self.output_fd, None)
        for line in self.output.splitlines():
            if line.startswith(b'{"context"'):
                found: dict[str, Any] = json.loads(line)
                return found
        pytest.fail(f"the victim did not answer (exit {self.process.wait(10)}): {self.output[-3000:]!r}")

    def declined(self) -> str | None:
        """The reason that the fallback was started with; None when it was not."""
        self.output += read_until(self.output_fd, None)
        for line in self.output.decode(errors="replace").splitlines():
            if line.startswith("declined: "):
                return line.removeprefix("declined: ")
        return None

    def until_held(self) -> None:
        """Wait until the restorer has stopped itself: everything is in place, nothing runs."""
        self.output += read_until(self.output_fd, b"held\n")
        deadline = time.monotonic() + DEADLINE_S
        while Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            assert time.monotonic() < deadline, "the restorer did not stop"


Freezer = Callable[..., Frozen]
Thawer = Callable[..., contextlib.AbstractContextManager[Thawed]]


@pytest.fixture(scope="session")
def restorer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A layer that holds the restorer, built from source, and nothing else."""
    out = tmp_path_factory.mktemp("native")
    command = ["make", "-s", "-C", str(ROOT / "layer" / "native"), f"OUT={out / 'obj'}"]
    subprocess.run(command, check=True, capture_output=True)
    layer = out / "layer"
    (layer / "native").mkdir(parents=True)
    shutil.copy(out / "obj" / "thaw", layer / "native" / "thaw")
    for path in (out, layer, layer / "native", layer / "native" / "thaw"):
        path.chmod(0o755)
    return layer


@pytest.fixture(scope="session")
def freeze_victim(needs_root: None, layer: Path, tmp_path_factory: pytest.TempPathFactory) -> Freezer:
    """freeze_victim(python, *modules, site=None, environ={}): each combination is frozen once."""
    known: dict[tuple[object, ...], Frozen] = {}

    def freeze(
        python: Path, *modules: str, site: Path | None = None, environ: Mapping[str, str] | None = None
    ) -> Frozen:
        key = (python, modules, site, tuple(sorted((environ or {}).items())))
        if key not in known:
            images = tmp_path_factory.mktemp("images")
            os.chown(images, names.LAMBDA_UID, names.LAMBDA_GID)
            known[key] = _freeze(python, modules, site, dict(environ or {}), layer, images)
        return known[key]

    return freeze


def _freeze(
    python: Path,
    modules: tuple[str, ...],
    site: Path | None,
    environ: dict[str, str],
    layer: Path,
    images: Path,
) -> Frozen:
    binds = [Bind(images, "/tmp/images", writable=True)]
    if site is not None:
        binds.append(Bind(site, "/tmp/site"))
        environ = {"PYTHONPATH": "/tmp/site", **environ}
    spec = SandboxSpec(
        python=python, task=VICTIMS, layer=layer, kind="freeze", binds=tuple(binds), pid_floor=names.MIN_PID
    )
    where = layout(spec)
    output = os.pipe()
    extra = [os.pipe() for _ in range(3)]
    passed = {names.THAW_FD: extra[0][0], names.WOKE_FD: extra[1][1], names.TELEMETRY_FD: extra[2][1]}
    environ = {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": where.lang_lib, "LANG": "C.UTF-8", **environ}
    argv = [where.python, "/var/task/main.py", *modules]
    with start(spec, argv, environ, stdout=output[1], stderr=output[1], pass_fds=passed) as process:
        os.close(output[1])
        read = read_until(output[0], b"ready\n")
        assert b"ready\n" in read, read.decode(errors="replace")
        # The line is written before the read begins: wait until the leader sleeps in it.
        _wait_for_read(process.pid)
        threads = len(os.listdir(f"/proc/{process.pid}/task"))
        wiped = plan.wiped_on_fork(process.pid)
        entries = left.collect(Path(f"/proc/{process.pid}/root/tmp"), ignore={"images", "site"})
        dump = criu_command.dump(
            criu=names.CRIU_PATH, pid=process.inner_pid, images="/tmp/images", work="/tmp/images"
        )
        done = process.run_inside(dump, caps=DUMP_CAPS, timeout=60)
        log = images / "dump.log"
        assert done.returncode == 0, log.read_text() if log.exists() else done.stderr
        for fd in (output[0], *(fd for pair in extra for fd in pair)):
            os.close(fd)
    return Frozen(images=images, spec=spec, threads=threads, wiped_on_fork=wiped, entries=entries)


def _wait_for_read(pid: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not Path(f"/proc/{pid}/syscall").read_text().startswith(f"0 {names.THAW_FD:#x}"):
        assert time.monotonic() < deadline, "the victim does not read"


@pytest.fixture
def thaw(needs_root: None, restorer: Path) -> Thawer:
    """thaw(frozen, snapshot, words="", modules=(), deny=(), environ={}, argv=None): starts the restorer."""

    @contextlib.contextmanager
    def run(
        frozen: Frozen,
        snapshot: Path,
        *,
        words: str = "",
        modules: tuple[str, ...] = (),
        deny: tuple[str, ...] = (),
        environ: Mapping[str, str] | None = None,
        argv: list[str] | None = None,
        pass_fds: Mapping[int, int] | None = None,
        kind: Kind = "lambda",
    ) -> Iterator[Thawed]:
        spec = SandboxSpec(
            kind=kind,
            python=frozen.spec.python,
            task=frozen.spec.task,
            layer=restorer,
            snapshot=snapshot,
            binds=tuple(bind for bind in frozen.spec.binds if bind.inner == "/tmp/site"),
            deny=frozenset(deny),
        )
        read, write = os.pipe()
        variables = {
            "PATH": "/usr/bin:/bin",
            "LD_LIBRARY_PATH": layout(spec).lang_lib,
            "VICTIM_MODULES": ",".join(modules),
            "QUICKTHAW_NATIVE": words,
            **WAKE,
            **(environ or {}),
        }
        command = argv or ["/opt/native/thaw", names.SNAPSHOT_PATH, *FALLBACK]
        with start(spec, command, variables, stdout=write, stderr=write, pass_fds=pass_fds) as process:
            os.close(write)
            try:
                yield Thawed(process, read)
            finally:
                os.close(read)

    return run


@dataclass(frozen=True)
class Memory:
    """The memory of a stopped process."""

    pid: int
    maps: tuple[tuple[int, int, str, str], ...] = field(default=())

    @classmethod
    def of(cls, pid: int) -> Memory:
        """Read its list of mappings: start, end, permissions, name."""
        rows = []
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, permissions, _offset, _device, _inode, *name = line.split(None, 5)
            begin, end = (int(word, 16) for word in span.split("-"))
            rows.append((begin, end, permissions, name[0] if name else ""))
        return cls(pid, tuple(rows))


def hot_half(frozen: Frozen) -> HotSet:
    """Every second run of four pages of the image, and some library pages: all cases of the hot layout."""
    process = frozen.process
    pages: set[int] = set()
    for vma in process.mm.vmas:
        first, last = vma.start // names.PAGE_SIZE, vma.end // names.PAGE_SIZE
        pages.update(page for page in range(first, min(last, first + 4000)) if page // 4 % 2)
    return HotSet(frozenset(pages), frozenset(pages))
