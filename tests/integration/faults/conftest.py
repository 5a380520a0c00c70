"""One function that can go wrong in every way when it wakes, and both engines to thaw it with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from quickthaw import names
from quickthaw.emulator.run import EnvironmentRun, FunctionSpec, run_environment

from tests.conftest import VICTIMS, Freezer, absent

ENGINES = ("native", "criu")
DEADLINE_S = 20.0

# The environment at the wake says what happens; at the freeze and in a cold start nothing does.
FAULTY = """

import ctypes, faulthandler, resource, signal, sys, threading

BORN = time.time()
WEIGHT = bytearray(os.urandom(4096) * (int(os.environ.get("WEIGHT_MB", "0")) << 8))
EVENTS = []


def told(number, frame):
    print("told to end", flush=True)
    sys.exit(7)


if os.environ.get("ENDS_ITSELF"):
    signal.signal(signal.SIGTERM, told)


@snapshot_restore_py.register_after_restore
def faulty():
    fault = os.environ.get("FAULT")
    if fault == "raise":
        raise ValueError("no luck")
    if fault == "wait":
        time.sleep(3600)
    if fault == "spin":
        while True:
            pass
    if fault == "stuck":  # inside C, with the interpreter lock, and no signal gets it out
        libc, mutex = ctypes.PyDLL(None), ctypes.create_string_buffer(64)
        libc.pthread_mutex_lock(mutex)
        libc.pthread_mutex_lock(mutex)
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "slow":
        time.sleep(0.6)
    if fault == "says":
        print("in the hook", flush=True)
        time.sleep(0.3)


answer_small = handler


def handler(event, context):
    EVENTS.append(None)
    with open("/proc/self/statm") as file:
        resident = int(file.read().split()[1]) * 4096
    return {
        **answer_small(event, context), "pid": os.getpid(), "served": len(EVENTS), "resident": resident,
        "born": BORN, "now": time.time(), "timer": signal.getitimer(signal.ITIMER_REAL),
        "alarm": str(signal.getsignal(signal.SIGALRM)), "threads": threading.active_count(),
        "tasks": len(os.listdir("/proc/self/task")),
    }
"""

Start = Callable[..., EnvironmentRun]


@pytest.fixture(scope="session")
def faulty_task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small victim with a hook that can go wrong."""
    task = tmp_path_factory.mktemp("faulty") / "task"
    shutil.copytree(VICTIMS / "small", task)
    with (task / "app.py").open("a") as app:
        app.write(FAULTY)
    return task


@pytest.fixture(scope="session")
def faulty(faulty_task: Path, freeze: Freezer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its snapshot: every page is decoded at a thaw by either engine."""
    return freeze(faulty_task, tmp_path_factory.mktemp("faulty") / "snapshot", layout="lz4")


@pytest.fixture
def shared_tmp(tmp_path: Path) -> Path:
    """A /tmp that outlives a crash of the runtime, as Lambda's does."""
    directory = tmp_path / "shared-tmp"
    directory.mkdir()
    directory.chmod(0o1777)
    return directory


@pytest.fixture
def start(needs_root: None, layer: Path, python: Path, faulty: Path, faulty_task: Path) -> Start:
    """start(engine, fault=None, events=1, **more of FunctionSpec): one environment of the faulty function."""

    def run(
        engine: str, *, fault: str | None = None, events: int = 1, env: dict[str, str] | None = None,
        on_line: Callable[[str], None] | None = None, event: dict[str, Any] | None = None, **more: Any,
    ) -> EnvironmentRun:  # fmt: skip
        settings = {"task": faulty_task, "python": python, "layer": layer, "snapshot": faulty, **more}
        variables = {**(env or {}), **({"FAULT": fault} if fault else {})}
        spec = FunctionSpec(handler="app.handler", engine=engine, env=variables, **settings)
        text = json.dumps({"numbers": [4, 5], **(event or {})}).encode()
        return run_environment(spec, [text] * events, on_line=on_line)

    return run


def lines(run: EnvironmentRun) -> list[dict[str, Any]]:
    """Every line of the log that quickthaw wrote."""
    return [json.loads(line) for line in run.log if line.startswith('{"quickthaw"')]


def children(pid: int) -> list[int]:
    """Child processes, none where the process has ended."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def criu_below(pid: int) -> int | None:
    """The CRIU that a bootstrap has started, once there is a process that it restores.

    That one is a child of the bootstrap too (--restore-sibling), younger than CRIU, and has its
    command line for a while.
    """
    found = []
    for child in children(pid):
        try:
            words = Path(f"/proc/{child}/cmdline").read_bytes()
        except OSError:
            continue
        if b"criu.bin" in words and b"restore" in words:
            found.append(child)
    return min(found) if len(children(pid)) > 1 and found else None


@pytest.fixture
def when_restoring() -> Iterator[Callable[[Callable[[int, int], None]], Callable[[int], None]]]:
    """when_restoring(act): a `before_exec` that calls act(bootstrap, CRIU) while CRIU restores."""
    threads = []

    def make(act: Callable[[int, int], None]) -> Callable[[int], None]:
        def watch(pid: int) -> None:
            deadline = time.monotonic() + DEADLINE_S
            while time.monotonic() < deadline and Path(f"/proc/{pid}").exists():
                criu = criu_below(pid)
                if criu is not None:
                    act(pid, criu)
                    return

        def start(pid: int) -> None:
            threads.append(threading.Thread(target=watch, args=(pid,)))
            threads[-1].start()

        return start

    yield make
    for thread in threads:
        thread.join()


class Freezer_:
    """A control group that stops its processes and lets them go on, as Lambda does between invocations."""

    def __init__(self) -> None:
        root = Path("/sys/fs/cgroup")
        self._v2 = (root / "cgroup.controllers").exists()
        self.path = (root if self._v2 else root / "freezer") / f"quickthaw-test-{os.getpid()}-{id(self)}"
        try:
            self.path.mkdir()
        except OSError as error:
            absent(f"no freezer control group: {error}")

    def attach(self, pid: int) -> None:
        """For `before_exec`."""
        (self.path / "cgroup.procs").write_text(str(pid))

    def freeze(self) -> None:
        """Returns when all are stopped."""
        self._set(True)

    def thaw(self) -> None:
        """Returns when all may run."""
        self._set(False)

    def pids(self) -> list[int]:
        """Who is in it."""
        return [int(pid) for pid in (self.path / "cgroup.procs").read_text().split()]

    def remove(self) -> None:
        """When all have ended."""
        self.thaw()
        self.path.rmdir()

    def _set(self, frozen: bool) -> None:
        file = self.path / ("cgroup.freeze" if self._v2 else "freezer.state")
        file.write_text(str(int(frozen)) if self._v2 else ("FROZEN" if frozen else "THAWED"))
        wanted = f"frozen {int(frozen)}" if self._v2 else ("FROZEN" if frozen else "THAWED")
        state = self.path / ("cgroup.events" if self._v2 else "freezer.state")
        deadline = time.monotonic() + DEADLINE_S
        while wanted not in state.read_text():
            assert time.monotonic() < deadline, "the control group does not freeze"


@pytest.fixture
def freezer(needs_root: None) -> Iterator[Freezer_]:
    """A freezer control group for the processes of one environment."""
    group = Freezer_()
    yield group
    group.remove()


@pytest.fixture
def own_layer(layer: Path, tmp_path: Path) -> Path:
    """A copy of the layer that a test may change."""
    copy = tmp_path / "opt"
    shutil.copytree(layer, copy, symlinks=True)
    return copy


def chain(layer: Path, line: str) -> None:
    """Puts a line of shell in front of the layer's wrapper, as another layer's wrapper would."""
    wrapper = layer / "bin" / "bootstrap"
    wrapper.unlink()
    wrapper.write_text(f'#!/bin/sh\n{line}\nexec /opt/bin/quickthaw "$@"\n')
    wrapper.chmod(0o755)
    (layer / "bin" / "quickthaw").symlink_to("../native/thaw")


SHIM = """
#include <dlfcn.h>
#include <stddef.h>
#include <unistd.h>
#define REAL "/opt/lib/real-liblz4.so.1"
static void *real(const char *name)
{
    static void *library;
    if (!library)
        library = dlopen(REAL, RTLD_NOW);
    return dlsym(library, name);
}
size_t LZ4F_decompress(void *c, void *d, size_t *ds, const void *s, size_t *ss, const void *o)
{
    static size_t (*decompress)(void *, void *, size_t *, const void *, size_t *, const void *);
    static int calls;
    if (!decompress)
        decompress = real("LZ4F_decompress");
    DELAY;
    return decompress(c, d, ds, s, ss, o);
}
unsigned LZ4F_isError(size_t code) { return ((unsigned (*)(size_t))real("LZ4F_isError"))(code); }
const char *LZ4F_getErrorName(size_t code)
{
    return ((const char *(*)(size_t))real("LZ4F_getErrorName"))(code);
}
size_t LZ4F_createDecompressionContext(void **c, unsigned v)
{
    return ((size_t (*)(void **, unsigned))real("LZ4F_createDecompressionContext"))(c, v);
}
size_t LZ4F_freeDecompressionContext(void *c)
{
    return ((size_t (*)(void *))real("LZ4F_freeDecompressionContext"))(c);
}
"""


def decoder_that(layer: Path, delay: str) -> None:
    """Exchanges a layer's liblz4 by one that does this before each call (C; `calls` counts them)."""
    library = layer / "lib" / "liblz4.so.1"
    shutil.copy(library, layer / "lib" / "real-liblz4.so.1")
    library.unlink()
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(library), "-ldl"],
        input=SHIM.replace("DELAY", delay).encode(),
        check=True,
    )
    assert names.LIBLZ4_PATH.endswith("lib/liblz4.so.1")
