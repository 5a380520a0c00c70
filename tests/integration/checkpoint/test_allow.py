"""What a user takes upon themselves with --allow is given up as documented; both engines thaw the rest."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from quickthaw.checkpoint.kinds import KINDS, allowed
from quickthaw.emulator.run import FunctionSpec, run_environment
from quickthaw.errors import CannotFreeze, UsageError
from quickthaw.snapshot import manifest

from tests.conftest import Freezer

HEAD = """
import ctypes, errno, os, select, socket, subprocess
libc = ctypes.CDLL(None, use_errno=True)
def fails(call):
    try:
        call()
    except OSError as error:
        return errno.errorcode[error.errno]
    return None
def children():
    return open(f"/proc/self/task/{os.getpid()}/children").read().split()
"""

# Kind, what the import holds, what the handler says of it after a thaw, and that answer.
GIVEN_UP: dict[str, tuple[str, str, str, Any]] = {
    "a TCP connection": (
        "connections,listeners",
        "a = socket.create_server(('127.0.0.1', 0)); b = socket.create_connection(a.getsockname())\n"
        "fd = b.fileno()",
        "[b.fileno() == fd, len(b.recv(1)), fails(lambda: b.send(b'x')), fails(a.accept)]",
        [True, 0, "EPIPE", "EINVAL"],
    ),
    "a TCP connection over IPv6 that does not block": (
        "connections,listeners",
        "a = socket.create_server(('::1', 0), family=socket.AF_INET6)\n"
        "b = socket.create_connection(a.getsockname()[:2]); b.setblocking(False)",
        "[len(b.recv(1)), os.get_blocking(b.fileno()), os.get_inheritable(b.fileno())]",
        [0, False, False],
    ),
    "a connection in a pool that looks before it uses it": (
        "connections,listeners",
        "a = socket.create_server(('127.0.0.1', 0)); b = socket.create_connection(a.getsockname())",
        "select.select([b], [], [], 0)[0] == [b]",  # urllib3's way to find a dropped connection
        True,
    ),
    "a connection with TLS": (
        "connections,listeners",
        "import ssl, threading\n"
        "a = socket.create_server(('127.0.0.1', 0)); b = socket.create_connection(a.getsockname())\n"
        "context = ssl.create_default_context(); context.check_hostname = False\n"
        "s = context.wrap_socket(b, do_handshake_on_connect=False)",
        "fails(s.do_handshake) is not None",
        True,
    ),
    "a UDP connection": (
        "connections",
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('127.0.0.1', 9))",
        "[fails(lambda: s.send(b'x')), select.select([s], [], [], 0)[0]]",
        ["ENOTCONN", []],
    ),
    "a Unix socket whose peer is gone": (
        "connections",
        "a, b = socket.socketpair(); b.close()",
        "[len(a.recv(1)), fails(lambda: a.send(b'x'))]",
        [0, "EPIPE"],
    ),
    "a netlink socket": (
        "connections",
        "s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "fails(lambda: os.write(s.fileno(), b'x'))",
        "ENOTCONN",
    ),
    "a Unix listener": (
        "listeners",
        "s = socket.socket(socket.AF_UNIX); s.bind(b'\\0here'); s.listen()",
        "[fails(s.accept), fails(lambda: socket.socket(socket.AF_UNIX).connect(b'\\0here'))]",
        ["EINVAL", "ECONNREFUSED"],
    ),
    "a running child": (
        "children",
        "p = subprocess.Popen(['/usr/bin/tail', '-f', '/dev/null'])",
        "[p.poll() is not None, p.wait() is not None, children()]",
        [True, True, []],
    ),
    "an ended child": (
        "children",
        "p = os.fork()\nif p == 0: os._exit(0)\nos.waitid(os.P_PID, p, os.WEXITED | os.WNOWAIT)",
        "[fails(lambda: os.waitpid(p, 0)), children()]",
        ["ECHILD", []],
    ),
    "a daemon with a pipe": (
        "children,pipes",
        "r, w = os.pipe(); p = os.fork()\n"
        "if p == 0:\n"
        "    os.setsid()\n"
        "    (os.close(w), os.read(r, 1)) if os.fork() == 0 else None\n"
        "    os._exit(0)\n"
        "os.close(r); os.waitpid(p, 0)",
        "[os.write(w, b'xyz'), os.get_inheritable(w)]",
        [3, False],
    ),
    "multiprocessing's resource tracker": (
        "children,pipes",
        "from multiprocessing import resource_tracker; resource_tracker.ensure_running()",
        "children()",
        [],
    ),
    "a pipe that nobody writes": (
        "pipes",
        "r, w = os.pipe(); os.close(w)",
        "len(os.read(r, 10))",
        0,
    ),
    "an inotify descriptor": (
        "watches",
        "fd = libc.inotify_init(); libc.inotify_add_watch(fd, b'/tmp', 0x100)",
        "[open('/tmp/new', 'w').close(), select.select([fd], [], [], 0)[0]]",
        [None, []],
    ),
    "System V objects": (
        "ipc",
        "ids = [libc.shmget(0, 4096, 0o1600), libc.semget(0, 1, 0o1600), libc.msgget(0, 0o1600)]",
        "[libc.msgctl(ids[2], 2, ctypes.create_string_buffer(200)), ctypes.get_errno() == errno.EINVAL]",
        [-1, True],
    ),
    "a POSIX message queue": (
        "ipc",
        "fd = libc.syscall(240, b'here', os.O_CREAT | os.O_RDWR, 0o600, None); assert fd > 0",
        "[libc.syscall(243, fd, ctypes.create_string_buffer(99), 99, None, None), errno.errorcode["
        "ctypes.get_errno()]]",
        [-1, "EBADF"],
    ),
}  # fmt: skip

UNCONNECTED = {
    "a TCP socket": "s = socket.socket()",
    "a TCP socket over IPv6": "s = socket.socket(socket.AF_INET6)",
    "a UDP socket": "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "a UDP socket with an address": (
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', 0))"
    ),
    "a UDP socket over IPv6 with an address": (
        "s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.bind(('::1', 0))"
    ),
    "a Unix socket": "s = socket.socket(socket.AF_UNIX)",
}


def write(tmp_path: Path, body: str, answer: str) -> Path:
    task = tmp_path / "task"
    task.mkdir()
    (task / "app.py").write_text(f"{HEAD}{body}\ndef handler(event, context):\n    return {answer}\n")
    return task


def thawed(task: Path, snapshot: Path, python: Path, layer: Path, engine: str) -> Any:
    spec = FunctionSpec(
        task=task, handler="app.handler", python=python, layer=layer, snapshot=snapshot, engine=engine
    )
    run = run_environment(spec, [json.dumps({}).encode()])
    assert run.engine == engine, run.log
    assert run.errors == (), run.log
    return run.answers[0]


@pytest.mark.parametrize("held", GIVEN_UP)
def test_what_is_allowed_is_given_up_in_both_engines(
    held: str, freeze: Freezer, python: Path, layer: Path, tmp_path: Path
) -> None:
    kinds, body, answer, expected = GIVEN_UP[held]
    task = write(tmp_path, body, answer)
    with pytest.raises(CannotFreeze) as caught:
        freeze(task, tmp_path / "snapshot", events=[])
    for kind in kinds.split(","):
        assert f"--allow {kind}: {KINDS[kind].instead}." in str(caught.value)
    out = freeze(task, tmp_path / "snapshot", events=[], allow=allowed([kinds]))
    names = {entry.partition(":")[0] for entry in manifest.read(str(out)).body["process"]["allowed"]}
    assert names <= set(kinds.split(",")) and names
    for engine in ("native", "criu"):
        assert thawed(task, out, python, layer, engine) == expected, engine


@pytest.mark.parametrize("held", UNCONNECTED)
def test_a_socket_without_a_peer_comes_back_with_both_engines(
    held: str, freeze: Freezer, python: Path, layer: Path, tmp_path: Path
) -> None:
    body = f"{UNCONNECTED[held]}; NAME = s.getsockname()"
    answer = "[int(s.family), int(s.type), fails(s.getpeername), s.getsockname() == NAME]"
    task = write(tmp_path, body, answer)
    out = freeze(task, tmp_path / "snapshot", events=[])
    assert manifest.read(str(out)).body["process"]["allowed"] == []
    answers = [thawed(task, out, python, layer, engine) for engine in ("native", "criu")]
    assert answers[0] == answers[1]
    assert answers[0][2:] == ["ENOTCONN", True]


def test_one_kind_is_not_leave_for_another(freeze: Freezer, tmp_path: Path) -> None:
    task = write(tmp_path, GIVEN_UP["a TCP connection"][1], "None")
    with pytest.raises(CannotFreeze) as caught:
        freeze(task, tmp_path / "snapshot", events=[], allow=allowed(["connections"]))
    assert "listening" in str(caught.value) and "connected" not in str(caught.value)


def test_a_thread_in_accept_goes_on_with_an_error(
    freeze: Freezer, python: Path, layer: Path, tmp_path: Path
) -> None:
    body = (
        "import threading\n"
        "said = []; s = socket.create_server(('127.0.0.1', 0))\n"
        "def serve(): said.append(fails(s.accept))\n"
        "t = threading.Thread(target=serve, daemon=True); t.start()\n"
        "while open(f'/proc/self/task/{t.native_id}/wchan').read() in ('0', ''): pass\n"
    )
    task = write(tmp_path, body, "[t.join(5), said]")
    out = freeze(task, tmp_path / "snapshot", events=[], allow=allowed(["listeners"]))
    for engine in ("native", "criu"):
        assert thawed(task, out, python, layer, engine) == [None, ["EINVAL"]]


@pytest.mark.parametrize("name", [kind.name for kind in KINDS.values() if kind.instead is None])
def test_what_cannot_stand_in_for_anything_cannot_be_allowed(name: str) -> None:
    with pytest.raises(UsageError, match=f"--allow {name}: .* cannot be allowed: "):
        allowed([name])


def test_an_unknown_kind_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError) as caught:
        allowed(["connections, sockets"])
    assert "there is no such kind" in str(caught.value)
    assert "connections, listeners, children" in caught.value.hint
    assert allowed(["connections, pipes", "children"]) == {"connections", "pipes", "children"}


def test_an_open_file_of_tmp_is_no_trap_for_the_criu_engine(
    freeze: Freezer, python: Path, layer: Path, tmp_path: Path
) -> None:
    task = write(
        tmp_path, "f = open('/tmp/notes', 'w+'); f.write('kept'); f.flush()", "[f.seek(0), f.read()]"
    )
    with pytest.raises(CannotFreeze, match="--allow tmp: "):
        freeze(task, tmp_path / "snapshot", events=[], layout="none")
    out = freeze(task, tmp_path / "snapshot", events=[], layout="none", allow=allowed(["tmp"]))
    assert len(manifest.read(str(out)).body["process"]["allowed"]) == 1
    spec = FunctionSpec(task=task, handler="app.handler", python=python, layer=layer, snapshot=out)
    run = run_environment(spec, [b"{}"])
    assert (run.engine, run.errors) == ("cold", ()), run.log
    assert run.answers[0] == [0, "kept"]


def test_the_command_line_says_what_was_given_up(layer: Path, needs_root: None, tmp_path: Path) -> None:
    task = write(tmp_path, GIVEN_UP["a TCP connection"][1], "None")
    command = [
        sys.executable, "-c", "from quickthaw.cli.app import main; main()", "checkpoint", "--task", str(task),
        "--handler", "app.handler", "--layer", str(layer), "--out", str(tmp_path / "snapshot"), "--json",
        "--allow",
    ]  # fmt: skip
    done = subprocess.run([*command, "connections,listeners"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second = json.loads(done.stdout)["allowed"]
    assert "listening" in first and "connected" in second
    done = subprocess.run([*command, "kernel-objects"], capture_output=True, text=True)
    assert done.returncode == 2 and "cannot be allowed" in done.stderr
