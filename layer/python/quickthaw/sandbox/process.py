"""Start a process in a sandbox, watch it, run something beside it, end it.

`start` returns when the process has been exec'ed; its start time is taken
inside, right before the exec, so that what the sandbox costs is in nobody's
measurement.  A sandbox never outlives this process, whatever kills it: bwrap
dies with its parent, pid 1 inside dies with bwrap, and a pid namespace dies
with its pid 1.  Kind "none" has a supervising parent to the same end.

All children are started from one thread that lives as long as we do: the
kernel's "parent died" signal means the parent *thread*.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import stat
import struct
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any

from quickthaw.errors import ToolFailed, Unavailable
from quickthaw.names import LAMBDA_GID, LAMBDA_UID
from quickthaw.sandbox import bubblewrap, procfs, scratch
from quickthaw.sandbox.cgroup import Limits, limits
from quickthaw.sandbox.layout import inner_python as inner_python
from quickthaw.sandbox.layout import layout as layout
from quickthaw.sandbox.order import (
    Caps,
    cap_numbers,
    enter_command,
    enter_environ,
    function_order,
    memfd,
    open_order,
    plain_order,
)
from quickthaw.sandbox.scratch import Scratch
from quickthaw.sandbox.spec import SandboxSpec

SETUP_TIMEOUT_S = 30.0  # from fork to the inner exec; 50 ms is usual

# $1 directory, then the command.
_OVER = 'mount -t tmpfs -o mode=1777 tmpfs "$1" && shift && exec "$@"'

_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox-spawner")


class SandboxProcess:
    """A running sandbox.

    Attributes:
        pid: Host pid of the function's process.
        inner_pid: Its pid as it sees itself.
        started_s: CLOCK_MONOTONIC in seconds right before its exec.
        setup_s: Seconds from the call of `start` to that exec: what the sandbox itself costs.
    """

    def __init__(
        self, spec: SandboxSpec, child: subprocess.Popen[bytes], *, pid: int, init: int | None,
        started_s: float, setup_s: float, limits: Limits | None,
    ) -> None:  # fmt: skip
        self.spec = spec
        self.pid = pid
        self.inner_pid = procfs.inner_pid(pid)
        self.started_s = started_s
        self.setup_s = setup_s
        self._child = child
        self._init = init
        self._limits = limits
        self._end = os.pidfd_open(child.pid)
        self._init_end = os.pidfd_open(init) if init is not None else None
        self._namespace = procfs.namespace(pid) if init is not None else None
        self._base_read = procfs.read_bytes(pid) or 0
        self._exit_code: int | None = None
        self._peak_rss: int | None = None
        self._peak_read: int | None = None

    def __enter__(self) -> SandboxProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def fileno(self) -> int:
        """A descriptor that polls readable once the sandbox has ended."""
        return self._end

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the function's process to end.

        Returns:
            Its exit code, 128 + n for signal n; None when `timeout` seconds have passed.
        """
        if self._exit_code is None:
            if not select.select([self._end], [], [], timeout)[0]:
                return None
            self._exit_code = self._child.wait()
            if self._exit_code < 0:
                self._exit_code = 128 - self._exit_code
            self._tidy()
        return self._exit_code

    def kill(self) -> None:
        """End every process of the sandbox and return when all are gone; harmless when ended."""
        if self._exit_code is not None:
            return
        self._sample()
        if self._init_end is not None:
            # Pid 1 of the namespace becomes a zombie only after all others are gone.
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._init_end, signal.SIGKILL)
        else:
            self._child.terminate()  # the supervisor takes all descendants along
        self.wait()

    def end_burst(self) -> None:
        """Throttle the CPU to the spec's share from now on, if the spec asks for that."""
        if self._limits is not None and self._exit_code is None:
            self._limits.end_burst()

    def processes(self) -> tuple[int, ...]:
        """Host pids of the processes inside, without those that only hold the sandbox together."""
        if self._exit_code is not None:
            return ()
        if self._namespace is None:
            return tuple(procfs.descendants(self._child.pid))
        found = []
        for name in os.listdir("/proc"):
            if not name.isdigit() or int(name) == self._init:
                continue
            if procfs.namespace(int(name)) == self._namespace and int(name) != self._waiting_parent():
                found.append(int(name))
        return tuple(sorted(found))

    def peak_rss_bytes(self) -> int | None:
        """Sum of the resident high-water marks of the processes, the highest seen; None if never seen."""
        self._sample()
        return self._peak_rss

    def glance(self) -> None:
        """Note the memory of the function's own process; cheap enough for the middle of a measurement."""
        mark = procfs.high_water(self.pid) if self._exit_code is None else None
        if mark is not None:
            self._peak_rss = max(mark, self._peak_rss or 0)

    def bytes_read(self) -> int | None:
        """Bytes read from disks since the exec by all processes, ended children included; None if unknown."""
        self._sample()
        return self._peak_read

    def run_inside(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, uid: int = LAMBDA_UID,
        gid: int = LAMBDA_GID, caps: Caps = frozenset(), cwd: str = "/tmp", timeout: float | None = None,
        tmpfs: str | None = None,
    ) -> subprocess.CompletedProcess[bytes]:  # fmt: skip
        """Run a command in the same mount, pid and IPC namespaces and wait for it.

        No seccomp filter, no emptied bounding set, no no_new_privs: it is for what stands beside the
        function (CRIU), not for the function.  Directories that it writes to belong into `spec.binds`.

        Args:
            caps: Capabilities to hold, also as ambient ones; "all" for every one that we have.
            timeout: Seconds, then the command is killed and `subprocess.TimeoutExpired` is raised.
            tmpfs: An existing directory where the command, and nobody else, finds an empty tmpfs.
        """
        none = self.spec.kind == "none"
        order = plain_order(
            argv, dict(env or {}), cwd="/" if none else cwd, report=None, fds={1: 1, 2: 2},
            uid=None if none else uid, gid=gid, caps=cap_numbers(caps), die_with_parent=True,
        )  # fmt: skip
        with ExitStack() as stack:
            fds = open_order(stack, order)
            command = enter_command(self.spec, fds)
            if tmpfs is not None:
                command = ["unshare", "--mount", "--", "/bin/sh", "-c", _OVER, "sh", tmpfs, *command]
            if not none:
                target = f"--target={self._init}"
                namespaces = ["--mount", "--pid", "--ipc"]
                if self.spec.kind == "freeze" and _young_clocks():
                    namespaces.append("--time")
                command = ["nsenter", target, *namespaces, "--wdns=/", "--", *command]
            with _spawner.submit(
                subprocess.Popen, command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, pass_fds=fds, env=enter_environ(self.spec),
            ).result() as child:  # fmt: skip
                try:
                    stdout, stderr = child.communicate(timeout=timeout)
                except BaseException:
                    child.kill()  # and what it runs inside dies with it
                    raise
            return subprocess.CompletedProcess(list(argv), child.returncode, stdout, stderr)

    def _waiting_parent(self) -> int | None:
        """The process that waits for the function after burning pids, if there is one."""
        if not self.spec.pid_floor:
            return None
        parent = procfs.parent(self.pid)
        return parent if parent != self._init else None

    def _sample(self) -> None:
        if self._exit_code is not None:
            return
        marks = [procfs.high_water(pid) for pid in self.processes()]
        resident = [mark for mark in marks if mark is not None]
        if resident:
            self._peak_rss = max(self._peak_rss or 0, sum(resident))
        reads = [procfs.read_bytes(pid) for pid in self.processes()]
        known = [read for read in reads if read is not None]
        if known:
            self._peak_read = max(self._peak_read or 0, sum(known) - self._base_read)

    def _tidy(self) -> None:
        if self._init_end is not None:
            # bwrap may be gone a moment before its pid 1 has collected the last process.
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._init_end, signal.SIGKILL)
            select.select([self._init_end], [], [])
            os.close(self._init_end)
        os.close(self._end)
        if self._limits is not None:
            self._limits.remove()


def start(
    spec: SandboxSpec, argv: Sequence[str], env: Mapping[str, str], *, stdout: int, stderr: int,
    pass_fds: Mapping[int, int] | None = None, before_exec: Callable[[int], None] | None = None,
) -> SandboxProcess:  # fmt: skip
    """Start a command in a new sandbox; returns when it has been exec'ed.

    Args:
        argv: Command with paths as they are inside, see `layout`.
        env: Its whole environment.
        stdout: Host descriptor for its standard output; it stays ours to close.  Also `stderr`.
        pass_fds: More descriptors, {number inside: host descriptor}.
        before_exec: Called with the host pid when all is set up and only the exec is missing,
            for instance to drop the page cache.

    Raises:
        Unavailable: Not root, or a tool or a control group is missing.
        ToolFailed: bwrap, or the way into the sandbox, failed; its words are in the text.
    """
    asked_s = time.monotonic()
    if spec.kind != "none" and os.geteuid() != 0:
        raise Unavailable(
            f"a sandbox of kind {spec.kind} needs root", hint="run as root, or use --sandbox none"
        )
    wanted = {1: stdout, 2: stderr, **(pass_fds or {})}
    if spec.kind != "none":
        _give(wanted.values())
    with ExitStack() as stack:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stack.callback(ours.close)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        order = function_order(spec, argv, env, report=theirs.fileno(), fds=wanted)
        fds = [*open_order(stack, order), theirs.fileno(), *wanted.values()]
        log = stack.enter_context(os.fdopen(os.memfd_create("sandbox-log"), "r+b"))
        info = stack.enter_context(os.fdopen(os.memfd_create("sandbox-info"), "r+b"))
        command = enter_command(spec, fds)
        if spec.kind != "none":
            files = {inner: memfd(stack, content) for inner, content in bubblewrap.written_files().items()}
            fds += [info.fileno(), *files.values()]
            tmp = Scratch(stack, spec.tmp_bytes) if scratch.kind() == "ext4" else None
            options = bubblewrap.arguments(
                spec, tmp=tmp.mount_point if tmp else None, info_fd=info.fileno(), file_fds=files
            )
            options += ["--setenv", "LD_LIBRARY_PATH", enter_environ(spec)["LD_LIBRARY_PATH"]]
            # Through a descriptor: the function can read the command line of pid 1.
            fds.append(memfd(stack, b"".join(os.fsencode(option) + b"\0" for option in options)))
            command = [bubblewrap.executable(), "--args", str(fds[-1]), "--", *command]
            command = [*(tmp.prefix() if tmp else ()), *command]
        groups = limits(spec)
        if spec.kind == "freeze":
            command = [*_young_clocks(), *command]
        child = _spawn(command, fds, log=log.fileno(), env=enter_environ(spec))
        theirs.close()
        try:
            pid = _await_ready(ours, child, log)
            if groups is not None:
                groups.attach(pid)
            if before_exec is not None:
                before_exec(pid)
            ours.send(b"go")
            started_s = _await_exec(ours, child, log)
            init = None
            if spec.kind != "none":
                info.seek(0)
                init = int(json.load(info)["child-pid"])
            return SandboxProcess(
                spec,
                child,
                pid=pid,
                init=init,
                started_s=started_s,
                setup_s=started_s - asked_s,
                limits=groups,
            )
        except BaseException:
            child.terminate() if spec.kind == "none" else child.kill()
            child.wait()
            if groups is not None:
                groups.remove()
            raise


def _spawn(
    command: Sequence[str], fds: Iterable[int], *, log: int, env: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    return _spawner.submit(
        subprocess.Popen,
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=tuple(set(fds)),
        env=env,
    ).result()


def _young_clocks() -> list[str]:
    """A command prefix: monotonic clocks that have just begun (time_namespaces(7)).

    A thawed process reads the clocks of the machine it is on, and they must not stand lower than when
    it was frozen.  Empty where the kernel has no time namespaces (before 5.6).
    """
    if not os.path.exists("/proc/self/ns/time"):
        return []
    return [
        "unshare",
        "--time",
        f"--monotonic=-{int(time.clock_gettime(time.CLOCK_MONOTONIC))}",
        f"--boottime=-{int(time.clock_gettime(time.CLOCK_BOOTTIME))}",
        "--",
    ]


def _give(fds: Iterable[int]) -> None:
    """Pipes become the function's own, as on Lambda: CRIU opens them anew through /proc/self/fd."""
    for fd in set(fds):
        if stat.S_ISFIFO(os.fstat(fd).st_mode):
            os.fchown(fd, LAMBDA_UID, LAMBDA_GID)


def _await_ready(ours: socket.socket, child: subprocess.Popen[bytes], log: Any) -> int:
    """The host pid of the process that said "ready"."""
    text, ancillary = _message(ours, child, log)
    for level, kind, data in ancillary:
        if text == "ready" and level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
            return int(struct.unpack("3i", data[:12])[0])
    raise ToolFailed(f"the sandbox could not be entered: {text or _words(log)}")


def _await_exec(ours: socket.socket, child: subprocess.Popen[bytes], log: Any) -> float:
    """CLOCK_MONOTONIC of the exec, after it has happened."""
    text, _ = _message(ours, child, log)
    if not text.startswith("started "):
        raise ToolFailed(f"the process could not be started in the sandbox: {text or _words(log)}")
    started_s = float(text.split()[1])
    text, _ = _message(ours, child, log)
    if text:
        raise ToolFailed(f"the process could not be started in the sandbox: {text.removeprefix('failed ')}")
    return started_s


def _message(
    ours: socket.socket, child: subprocess.Popen[bytes], log: Any
) -> tuple[str, list[tuple[int, int, bytes]]]:
    if not select.select([ours], [], [], SETUP_TIMEOUT_S)[0]:
        raise ToolFailed(f"the sandbox was not ready within {SETUP_TIMEOUT_S:.0f} s: {_words(log)}")
    data, ancillary, _, _ = ours.recvmsg(8192, socket.CMSG_SPACE(12))
    return data.decode(errors="replace"), ancillary


def _words(log: Any) -> str:
    log.seek(0)
    return log.read().decode(errors="replace").strip()[-2000:] or "no word why"
