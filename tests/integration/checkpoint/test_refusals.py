"""What cannot be frozen is refused by name, before anything is written, and the old snapshot stays."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from quickthaw.errors import CannotFreeze, FunctionFailed, UsageError
from quickthaw.snapshot import manifest

from tests.conftest import Freezer

HEAD = "import os, socket, subprocess, mmap, ctypes, tempfile\n"
TAIL = "\ndef handler(event, context):\n    return {}\n"

HELD = {
    "a listening socket": (
        "s = socket.create_server(('127.0.0.1', 0))",
        r"descriptor \d+: a TCP socket listening on 127\.0\.0\.1:\d+",
    ),
    "a connection": (
        "a = socket.create_server(('127.0.0.1', 0)); b = socket.create_connection(a.getsockname())",
        r"descriptor \d+: a TCP socket connected, 127\.0\.0\.1:\d+ to 127\.0\.0\.1:\d+",
    ),
    "an IPv6 listener": (
        "s = socket.create_server(('::1', 0), family=socket.AF_INET6)",
        r"a TCP socket listening on ::1:\d+",
    ),
    "a UDP socket with a peer": (
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('127.0.0.1', 9))",
        r"descriptor \d+: a UDP socket connected to 127\.0\.0\.1:9",
    ),
    "a bound TCP socket": (
        "s = socket.socket(); s.bind(('127.0.0.1', 0))",
        r"descriptor \d+: a TCP socket bound to 127\.0\.0\.1:\d+",
    ),
    "a netlink socket": (
        "s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        r"descriptor \d+: a socket of address family 16",
    ),
    "an io_uring": (
        "fd = ctypes.CDLL(None).syscall(425, 4, ctypes.create_string_buffer(120)); assert fd > 0",
        r"descriptor \d+: anon_inode:\[io_uring\], which cannot be restored\n +Lambda refuses io_uring",
    ),
    "a semaphore": (
        "e = os.eventfd(1, os.EFD_SEMAPHORE)",
        r"descriptor \d+: an eventfd that counts as a semaphore",
    ),
    "a Unix socket": (
        "s = socket.socket(socket.AF_UNIX); s.bind('/tmp/here.sock'); s.listen()",
        r"a Unix socket /tmp/here\.sock",
    ),
    "a child process": (
        "p = subprocess.Popen(['/usr/bin/tail', '-f', '/dev/null'])",
        r"child process \d+: /usr/bin/tail -f /dev/null",
    ),
    "a child that nobody waited for": (
        "p = os.fork()\nif p == 0: os._exit(0)\nos.waitid(os.P_PID, p, os.WEXITED | os.WNOWAIT)",
        r"child process \d+: ended, but nobody waited for it",
    ),
    "a mapped file in /tmp": (
        "f = open('/tmp/map', 'wb+'); f.truncate(4096); m = mmap.mmap(f.fileno(), 4096); f.close()",
        r"/tmp/map",
    ),
    "a pipe to somebody else": (
        "r, w = os.pipe(); p = os.fork()\n"
        "if p == 0:\n"
        "    os.setsid()\n"
        "    (os.close(w), os.read(r, 1)) if os.fork() == 0 else None\n"
        "    os._exit(0)\n"
        "os.close(r); os.waitpid(p, 0)",
        r"descriptor \d+: pipe:\[\d+\], whose other end is in another process",
    ),
    "an inotify descriptor": (
        "fd = ctypes.CDLL(None).inotify_init()",
        r"descriptor \d+: anon_inode:inotify, which cannot be restored",
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
        CannotFreeze, match=r"(?s)for the criu engine alone.*descriptor \d+: /tmp/notes, open"
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
