"""Locks that are held at the freeze: which go on after a thaw, and which are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from quickthaw.snapshot import manifest

from tests.conftest import Freezer
from tests.integration.checkpoint.test_allow import thawed, write

# A worker takes a lock before the freeze and gives it back when the handler asks for that.
WORKER = """
import threading
taken, give_back = threading.Event(), threading.Event()
said = []
def work():
    acquire()
    taken.set()
    give_back.wait()
    said.append(release())
thread = threading.Thread(target=work, daemon=True)
def ask():
    give_back.set()
    thread.join(10)
    return [said, take()]
"""

PYTHON = {
    "Lock": "lock = threading.Lock()",
    "RLock": "lock = threading.RLock()",
    "nested RLock": "lock = threading.RLock(); lock.acquire(); lock.release()",
    "Condition": "lock = threading.Condition()",
}
USE = """
acquire = lock.acquire
release = lambda: str(lock.release())
take = lambda: lock.acquire(timeout=10)
thread.start(); taken.wait()
"""

# pthread_mutexattr_settype's numbers, and the remaining attributes
MUTEX = """
libc.pthread_mutexattr_settype.restype = ctypes.c_int
attributes = ctypes.create_string_buffer(64)
libc.pthread_mutexattr_init(attributes)
{set}
mutex = ctypes.create_string_buffer(40 + 64)
libc.pthread_mutex_init(mutex, attributes)
acquire = lambda: libc.pthread_mutex_lock(mutex)
release = lambda: libc.pthread_mutex_unlock(mutex)
take = lambda: libc.pthread_mutex_trylock(mutex)
thread.start(); taken.wait()
"""
OWNED = {
    "recursive": "libc.pthread_mutexattr_settype(attributes, 1)",
    "error-checking": "libc.pthread_mutexattr_settype(attributes, 2)",
    "robust": "libc.pthread_mutexattr_setrobust(attributes, 1)",
    "priority-inheriting": "libc.pthread_mutexattr_setprotocol(attributes, 1)",
}


@pytest.mark.parametrize("kind", PYTHON)
def test_a_python_lock_that_a_thread_holds_is_given_back_after_a_thaw(
    kind: str, freeze: Freezer, python: Path, layer: Path, tmp_path: Path
) -> None:
    task = write(tmp_path, WORKER + PYTHON[kind] + USE, "ask()")
    out = freeze(task, tmp_path / "snapshot", events=[])
    for engine in ("native", "criu"):
        assert thawed(task, out, python, layer, engine) == [["None"], True]


def test_a_plain_mutex_that_a_thread_holds_is_given_back_after_a_thaw(
    freeze: Freezer, python: Path, layer: Path, tmp_path: Path
) -> None:
    task = write(tmp_path, WORKER + MUTEX.format(set=""), "ask()")
    out = freeze(task, tmp_path / "snapshot", events=[])
    for engine in ("native", "criu"):
        assert thawed(task, out, python, layer, engine) == [[0], 0]


@pytest.mark.parametrize("kind", OWNED)
def test_a_mutex_that_knows_its_owner_is_refused_natively_and_goes_on_under_criu(
    kind: str, freeze: Freezer, python: Path, layer: Path, tmp_path: Path
) -> None:
    task = write(tmp_path, WORKER + MUTEX.format(set=OWNED[kind]), "ask()")
    out = freeze(task, tmp_path / "snapshot", events=[])
    native = manifest.read(str(out)).body["native"]
    assert native["layout"] is None
    assert f"holds a {kind} mutex at " in native["reason"], native
    assert native["reason"].count("mutex") == 1, "the held one, and no other"
    assert thawed(task, out, python, layer, "criu") == [[0], 0]


@pytest.mark.parametrize("kind", OWNED)
def test_such_a_mutex_that_nobody_holds_is_frozen(
    kind: str, freeze: Freezer, python: Path, layer: Path, tmp_path: Path
) -> None:
    body = MUTEX.format(set=OWNED[kind]).replace("thread.start(); taken.wait()", "acquire(); release()")
    task = write(tmp_path, body, "[take(), release()]")
    out = freeze(task, tmp_path / "snapshot", events=[])
    for engine in ("native", "criu"):
        assert thawed(task, out, python, layer, engine) == [0, 0]


def test_memory_that_only_looks_like_a_held_robust_mutex_is_frozen(
    freeze: Freezer, python: Path, layer: Path, tmp_path: Path
) -> None:
    """Bytes as a syntax tree leaves them: line, column, end line, end column, kind, pointer."""
    body = """
import struct, threading
tid = threading.get_native_id()
looks = ctypes.create_string_buffer(struct.pack("<6IQQ", tid, 4, tid, 9, 17, 0, id(struct), 0))
"""
    task = write(tmp_path, body, "looks.raw[12]")
    out = freeze(task, tmp_path / "snapshot", events=[])
    assert manifest.read(str(out)).body["native"]["layout"]
    assert thawed(task, out, python, layer, "native") == 9
