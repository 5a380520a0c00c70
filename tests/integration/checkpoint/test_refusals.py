"""What cannot be frozen is refused by name, before anything is written, and the old snapshot stays."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from quickthaw.errors import CannotFreeze, FunctionFailed, UsageError
from quickthaw.snapshot import manifest

from tests.conftest import Freezer

HEAD = (
    "import asyncio, collections, functools, os, select, socket, subprocess, mmap, ctypes, tempfile\n"
    "import threading\n"
    "libc = ctypes.CDLL(None, use_errno=True)\n"
)
TAIL = "\ndef handler(event, context):\n    return {}\n"

# What is held, and what the refusal says: the thing, and the object that holds it where one does.
HELD = {
    "a listening socket": (
        "s = socket.create_server(('127.0.0.1', 0))",
        r"descriptor \d+: a TCP socket listening on 127\.0\.0\.1:\d+, held by app\.s \(socket\)",
    ),
    "a connection": (
        "a = socket.create_server(('127.0.0.1', 0)); b = socket.create_connection(a.getsockname())",
        r"descriptor \d+: a TCP socket connected, 127\.0\.0\.1:\d+ to 127\.0\.0\.1:\d+, held by app\.b",
    ),
    "an IPv6 listener": (
        "s = socket.create_server(('::1', 0), family=socket.AF_INET6)",
        r"a TCP socket listening on ::1:\d+, held by app\.s",
    ),
    "a UDP socket with a peer": (
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('127.0.0.1', 9))",
        r"a UDP socket connected, 127\.0\.0\.1:\d+ to 127\.0\.0\.1:9, held by app\.s",
    ),
    "a bound TCP socket": (
        "s = socket.socket(); s.bind(('127.0.0.1', 0))",
        r"descriptor \d+: a TCP socket bound to 127\.0\.0\.1:\d+, held by app\.s",
    ),
    "a socket of MPTCP": (
        "s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)",
        r"descriptor \d+: a network socket of SOCK_STREAM, protocol 262, held by app\.s",
    ),
    "a connection that the other side has closed": (
        "a = socket.create_server(('127.0.0.1', 0)); b = socket.create_connection(a.getsockname())\n"
        "c, _ = a.accept(); c.close(); a.close(); select.select([b], [], [])",
        r"a TCP socket half closed, 127\.0\.0\.1:\d+ to 127\.0\.0\.1:\d+, held by app\.b",
    ),
    "a semaphore": (
        "e = os.eventfd(1, os.EFD_SEMAPHORE)",
        r"descriptor \d+: an eventfd that counts as a semaphore, which CRIU's images do not tell, "
        r"held by app\.e",
    ),
    "a Unix socket": (
        "s = socket.socket(socket.AF_UNIX); s.bind('/tmp/here.sock'); s.listen()",
        r"a Unix socket /tmp/here\.sock, listening, held by app\.s",
    ),
    "an abstract Unix socket": (
        "s = socket.socket(socket.AF_UNIX); s.bind(b'\\0here'); s.listen()",
        r"a Unix socket @here, listening, held by app\.s",
    ),
    "a Unix socket whose peer is gone": (
        "a, b = socket.socketpair(); b.close()",
        r"a Unix socket whose peer has hung up, held by app\.a",
    ),
    "a netlink socket": (
        "s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        r"a socket of AF_NETLINK, held by app\.s",
    ),
    "a child process": (
        "p = subprocess.Popen(['/usr/bin/tail', '-f', '/dev/null'])",
        r"child process \d+: /usr/bin/tail -f /dev/null, held by app\.p\.pid",
    ),
    "a child that nobody waited for": (
        "p = os.fork()\nif p == 0: os._exit(0)\nos.waitid(os.P_PID, p, os.WEXITED | os.WNOWAIT)",
        r"child process \d+: ended, but nobody waited for it, held by app\.p",
    ),
    "a daemon": (
        "r, w = os.pipe(); p = os.fork()\n"
        "if p == 0:\n"
        "    os.setsid()\n"
        "    os.execv('/usr/bin/tail', ['tail', '-f', '/dev/null']) if os.fork() == 0 else None\n"
        "    os._exit(0)\n"
        "os.close(w); os.read(r, 1); os.close(r); os.waitpid(p, 0)",
        r"process, started by this function and left, \d+: tail -f /dev/null",
    ),
    "multiprocessing's resource tracker": (
        "from multiprocessing import resource_tracker; resource_tracker.ensure_running()",
        r"child process \d+: multiprocessing's resource tracker, held by .*\._resource_tracker\._pid",
    ),
    "a mapped file in /tmp": (
        "f = open('/tmp/map', 'wb+'); f.truncate(4096); m = mmap.mmap(f.fileno(), 4096); f.close()",
        r"mapping [0-9a-f-]+: /tmp/map, mapped, .*, held by app\.m \(mmap\)",
    ),
    "a pipe to somebody else": (
        "r, w = os.pipe(); p = os.fork()\n"
        "if p == 0:\n"
        "    os.setsid()\n"
        "    (os.close(w), os.read(r, 1)) if os.fork() == 0 else None\n"
        "    os._exit(0)\n"
        "os.close(r); os.waitpid(p, 0)",
        r"descriptor \d+: pipe:\[\d+\], whose other end is closed or in another process, held by app\.w",
    ),
    "a pipe that two read and nobody writes": (
        "r, w = os.pipe(); d = os.dup(r); os.close(w)",
        r"pipe:\[\d+\], whose other end is closed or in another process, held by app\.d",
    ),
    "an inotify descriptor": (
        "fd = libc.inotify_init()",
        r"descriptor \d+: anon_inode:inotify, which cannot be restored, held by app\.fd",
    ),
    "an io_uring": (
        "ring = libc.syscall(425, 4, ctypes.create_string_buffer(120)); assert ring > 0",
        r"descriptor \d+: anon_inode:\[io_uring\], which cannot be restored, held by app\.ring\n"
        r" +Lambda refuses io_uring",
    ),
    "a userfaultfd": (
        "fd = libc.syscall(323, 1); assert fd > 0",
        r"anon_inode:\[userfaultfd\], which cannot be restored, held by app\.fd",
    ),
    "a pidfd": (
        "fd = os.pidfd_open(os.getpid())",
        r"anon_inode:\[pidfd\], which cannot be restored, held by app\.fd",
    ),
    "a POSIX message queue": (
        "fd = libc.syscall(240, b'here', os.O_CREAT | os.O_RDWR, 0o600, None); assert fd > 0",
        r"descriptor \d+: /here, which is no file of that name, held by app\.fd",
    ),
    "secret memory": (
        "fd = libc.syscall(447, 0); os.ftruncate(fd, 4096); m = mmap.mmap(fd, 4096); os.close(fd)",
        r"mapping [0-9a-f-]+: memory that nobody but the function may read \(memfd_secret\), held by app\.m",
    ),
    "asynchronous I/O": (
        "context = ctypes.c_ulong(); assert libc.syscall(206, 8, ctypes.byref(context)) == 0",
        r"a ring for asynchronous I/O \(io_setup\)",
    ),
    "a System V segment that is attached": (
        "segment = libc.shmget(0, 4096, 0o1600); libc.shmat.restype = ctypes.c_void_p\n"
        "address = libc.shmat(segment, None, 0); ctypes.memset(address, 1, 4096)",
        r"mapping [0-9a-f-]+: System V shared memory /SYSV\d+, held by app\.address",
    ),
    "a System V segment": ("libc.shmget(0, 4096, 0o1600)", r"System V shared memory, id \d+"),
    "a System V semaphore": ("libc.semget(0, 1, 0o1600)", r"System V semaphores, id \d+"),
    "a System V message queue": ("libc.msgget(0, 0o1600)", r"System V message queue, id \d+"),
}

# The same listening socket in places from which a name leads to it.
HELD_BY = {
    "an attribute": (
        "class Client:\n"
        "    def __init__(self): self._conn = collections.namedtuple('C', 'sock')({s})\n"
        "CLIENT = Client()",
        r"app\.CLIENT\._conn\[0\]",
    ),
    "a class attribute": ("class Client:\n    sock = {s}", r"app\.Client\.sock"),
    "a slot": (
        "class Client:\n    __slots__ = ('sock',)\nCLIENT = Client(); CLIENT.sock = {s}",
        r"app\.CLIENT\.sock",
    ),
    "a dictionary": ("pools = {{'host': [{s}]}}", r"app\.pools\['host'\]\[0\]"),
    "a dictionary whose key tells nothing": ("pools = {{'a-token-4711': {s}}}", r"app\.pools\[\.\.\.\]"),
    "a closure": (
        "def make(inner):\n    def send(): return inner\n    return send\nsend = make({s})",
        r"app\.send\.<inner>",
    ),
    "a partial function": ("send = functools.partial(print, {s})", r"app\.send\.args\[0\]"),
    "a buffered file": ("stream = {s}.makefile('rb')", r"app\.stream\.raw\._sock"),
    "a thread": (
        "ready = threading.Event()\n"
        "def serve():\n    inner = {s}\n    ready.set()\n    threading.Event().wait()\n"
        "threading.Thread(target=serve, daemon=True).start(); ready.wait()",
        r"app\.serve\(\)\.inner",
    ),
    "a proxy that answers every question itself": (
        "class Proxy:\n"
        "    def __init__(self, sock): object.__setattr__(self, 'inner', sock)\n"
        "    def __getattribute__(self, name): os._exit(77)\n"
        "proxy = Proxy({s})",
        r"app\.proxy\.inner",
    ),
    "a module that the function brought": (
        "import sys, types; sys.modules['client'] = types.ModuleType('client')\n"
        "sys.modules['client'].__file__ = '/var/task/client.py'; sys.modules['client'].sock = {s}",
        r"client\.sock",
    ),
}


Writer = Callable[[str], Path]


@pytest.fixture
def task(tmp_path: Path) -> Writer:
    """Writes a function that holds something."""

    def write(body: str) -> Path:
        directory = tmp_path / "task"
        directory.mkdir(exist_ok=True)
        (directory / "app.py").write_text(HEAD + body + TAIL)
        return directory

    return write


@pytest.mark.parametrize("held", HELD)
def test_what_a_function_holds_is_named_with_a_remedy(
    held: str, task: Writer, freeze: Freezer, tmp_path: Path
) -> None:
    body, expected = HELD[held]
    with pytest.raises(CannotFreeze) as caught:
        freeze(task(body), tmp_path / "snapshot", events=[])
    assert re.search(expected, str(caught.value)), str(caught.value)
    assert len(str(caught.value).splitlines()) >= 3, "what, and what to do about it"
    assert not (tmp_path / "snapshot").exists()
    assert not list(tmp_path.glob(".snapshot*")), "nothing half-made is left"


@pytest.mark.parametrize("held", HELD_BY)
def test_the_object_that_holds_it_is_named(held: str, task: Writer, freeze: Freezer, tmp_path: Path) -> None:
    body, expected = HELD_BY[held]
    with pytest.raises(CannotFreeze) as caught:
        freeze(
            task(body.format(s="socket.create_server(('127.0.0.1', 0))")), tmp_path / "snapshot", events=[]
        )
    assert re.search(rf"listening on \S+, held by {expected} \(socket\)", str(caught.value)), str(
        caught.value
    )
    assert "4711" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "events", "said"),
    [
        ("raise RuntimeError('no database')", [], "RuntimeError: no database"),
        ("import does_not_exist", [], "No module named 'does_not_exist'"),
        ("os._exit(3)", [], "ended before the freeze point"),
        ("print('hello from import'); 1/0", [], "hello from import"),
    ],
    ids=["error", "import", "exit", "output"],
)
def test_a_function_that_fails_says_so_itself(
    body: str, events: list[tuple[str, str]], said: str, task: Writer, freeze: Freezer, tmp_path: Path
) -> None:
    with pytest.raises(FunctionFailed, match=re.escape(said)):
        freeze(task(body), tmp_path / "snapshot", events=events)


def test_a_warm_up_event_that_fails_is_reported(task: Writer, freeze: Freezer, tmp_path: Path) -> None:
    directory = task("")
    (directory / "app.py").write_text("def handler(event, context):\n    return event['missing']\n")
    with pytest.raises(FunctionFailed, match="KeyError: 'missing'"):
        freeze(directory, tmp_path / "snapshot", events=[("event.json", "{}")])


def test_the_old_snapshot_stays_when_the_new_one_is_refused(
    small: Path, task: Writer, freeze: Freezer, tmp_path: Path
) -> None:
    out = freeze(task(""), tmp_path / "snapshot", events=[])
    before = manifest.read(str(out)).id
    with pytest.raises(CannotFreeze):
        freeze(task(HELD["a listening socket"][0]), out, events=[])
    assert manifest.read(str(out)).id == before


def test_a_file_is_not_replaced_by_a_snapshot(task: Writer, freeze: Freezer, tmp_path: Path) -> None:
    (tmp_path / "snapshot").write_text("precious")
    with pytest.raises(UsageError, match="is a file"):
        freeze(task(""), tmp_path / "snapshot", events=[])
    assert (tmp_path / "snapshot").read_text() == "precious"


def test_what_only_the_native_engine_gives_back_is_refused_without_a_native_plan(
    task: Writer, freeze: Freezer, tmp_path: Path
) -> None:
    body = "f = open('/tmp/notes', 'w+'); f.write('kept'); f.flush()"
    with pytest.raises(
        CannotFreeze,
        match=r"(?s)for the criu engine alone \(--layout none\).*descriptor \d+: /tmp/notes, open",
    ):
        freeze(task(body), tmp_path / "snapshot", events=[], layout="none")
    assert not (tmp_path / "snapshot").exists()
    out = freeze(task(body), tmp_path / "snapshot", events=[])
    assert manifest.read(str(out)).body["native"]["layout"] == "lazy"


PRIVATE = {
    "a deleted file": "f = tempfile.TemporaryFile(dir='/tmp'); f.write(b'x' * 2_000_000); f.flush()",
    "a mapped file of /tmp": (
        "w = open('/tmp/t', 'wb'); w.write(b'x' * 5000); w.close()\n"
        "f = open('/tmp/t', 'rb'); m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)"
    ),
    "shared memory": "m = mmap.mmap(-1, 4096); m[:1] = b'x'",
    "a socket pair": "a, b = socket.socketpair()",
    "a UDP socket": "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', 0))",
    "a TCP socket that was never connected": "s = socket.socket()",
    "an event loop": "import asyncio; loop = asyncio.new_event_loop()",
}


@pytest.mark.parametrize("held", PRIVATE)
def test_what_belongs_to_one_process_is_frozen(
    held: str, task: Writer, freeze: Freezer, tmp_path: Path
) -> None:
    out = freeze(task(PRIVATE[held]), tmp_path / "snapshot", events=[])
    assert manifest.read(str(out)).body["native"] == {"layout": "lazy", "reason": None}


def test_harmless_descriptors_are_frozen(task: Writer, freeze: Freezer, tmp_path: Path) -> None:
    body = "r, w = os.pipe(); e = os.eventfd(1); n = open('/dev/null'); own = open(__file__)"
    out = freeze(task(body), tmp_path / "snapshot", events=[])
    assert manifest.read(str(out)).processes == 1


def test_neither_a_checkpoint_nor_a_refusal_leaves_descriptors_open(freeze: Freezer, tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    for task, body in ((good, ""), (bad, "import socket; S = socket.create_server(('127.0.0.1', 0))")):
        task.mkdir()
        (task / "app.py").write_text(f"{body}\ndef handler(event, context): return 1\n")

    def both() -> int:
        freeze(good, tmp_path / "snapshot", events=[])
        with pytest.raises(CannotFreeze):
            freeze(bad, tmp_path / "none", events=[])
        return len(os.listdir("/proc/self/fd"))

    assert both() == both()
