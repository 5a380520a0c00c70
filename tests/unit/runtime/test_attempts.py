"""Which files in /tmp are failed thaws: those that nobody holds, of our own, and not from long ago."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from quickthaw.errors import Declined
from quickthaw.runtime import attempts, lockfile

from tests.conftest import ROOT, absent

BEGIN = f"""
import sys
sys.path.insert(0, {str(ROOT / "layer" / "python")!r})
from quickthaw.errors import Declined
from quickthaw.runtime.attempts import Attempt
try:
    attempt = Attempt(sys.argv[1])
    print(attempt.before, flush=True)
except Declined as error:
    print(error, flush=True)
if sys.stdin.readline():
    attempt.woke()
    print("woke", flush=True)
"""
Begin = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture
def identity() -> Iterator[str]:
    """Of a snapshot that nobody else has."""
    one = f"test-{os.getpid()}-{os.urandom(4).hex()}"
    yield one
    for path in marks(one):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


@pytest.fixture
def begin(identity: str) -> Iterator[Begin]:
    """Starts a process with an attempt of its own, which is under way until it is killed or told to wake."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-I", "-S", "-c", BEGIN, identity]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def marks(identity: str) -> list[Path]:
    return sorted(Path("/tmp").glob(f".quickthaw-criu-{identity}-*"))


def said(process: subprocess.Popen[str]) -> str:
    """Its next line."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def wake(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    assert said(process) == "woke"


def test_attempts_under_way_are_no_failures_and_killed_ones_are(begin: Begin, identity: str) -> None:
    running = [begin() for _ in range(2 * attempts.MOST + 1)]
    assert [said(process) for process in running] == ["0"] * len(running)
    assert len(marks(identity)) == len(running)
    kill(running[0])
    second = begin()
    assert said(second) == "1"
    kill(running[2])
    assert (
        said(begin()) == f"the thaw failed {attempts.MOST} times in this environment and is not tried again"
    )


def test_a_wake_forgets_what_it_has_seen_fail_and_leaves_the_others_theirs(
    begin: Begin, identity: str
) -> None:
    first, other = begin(), begin()
    assert (said(first), said(other)) == ("0", "0")
    kill(first)
    third = begin()
    assert said(third) == "1"
    wake(third)
    assert len(marks(identity)) == 1, "the one that is under way"
    kill(other)
    in_the_gap = begin()
    said(in_the_gap)
    kill(in_the_gap)
    assert said(begin()).startswith("the thaw failed"), "the second one is seen behind it"


@pytest.mark.parametrize("age_s", [attempts.OLD_S + 60, -attempts.OLD_S - 60])
def test_old_failures_are_ignored_and_removed(age_s: int, begin: Begin, identity: str) -> None:
    for _ in range(attempts.MOST):
        process = begin()
        said(process)
        kill(process)
    then = time.time() - age_s
    for path in marks(identity):
        os.utime(path, (then, then))
    last = begin()
    assert said(last) == "0"
    assert len(marks(identity)) == 1
    wake(last)
    assert marks(identity) == []


def test_what_is_no_file_of_ours_is_neither_followed_nor_counted(
    begin: Begin, identity: str, tmp_path: Path
) -> None:
    """Anybody may write to a shared /tmp."""
    if os.geteuid() != 0:
        absent("only root can make a file somebody else's")
    aim = tmp_path / "aim"
    aim.write_text("kept")
    aim.chmod(0o600)
    places = [Path(f"/tmp/.quickthaw-criu-{identity}-{number}") for number in range(1, 6)]
    places[0].symlink_to(aim)
    os.mkfifo(places[1], 0o600)
    places[2].mkdir()
    places[3].touch(0o600)
    os.chown(places[3], 12345, 12345)
    os.link(aim, places[4])
    process = begin()
    assert said(process) == "0"
    wake(process)
    assert marks(identity) == places
    assert aim.read_text() == "kept"


def test_a_file_is_never_seen_between_its_making_and_its_lock(begin: Begin, identity: str) -> None:
    """Whoever looks while others begin takes nothing for a failure."""
    script = BEGIN.partition("try:")[0] + (
        "for _ in range(400):\n"
        "    attempt = Attempt(sys.argv[1])\n"
        "    assert attempt.before == 0\n"
        "    attempt.woke()\n"
    )
    command = [sys.executable, "-I", "-S", "-c", script, identity]
    crowd = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate()[1] for process in crowd] == [""] * 4
    assert marks(identity) == []


def test_where_no_file_can_be_made_nothing_is_counted() -> None:
    attempt = attempts.Attempt("no/such/directory")
    assert attempt.before == 0
    attempt.woke()
    attempt.withdraw()


def test_an_attempt_that_is_withdrawn_was_none(identity: str) -> None:
    for _ in range(attempts.MOST + 1):
        attempts.Attempt(identity).withdraw()
    assert marks(identity) == []
    with contextlib.suppress(Declined):
        attempts.Attempt(identity).withdraw()


def test_the_restorer_counts_by_the_same_numbers() -> None:
    source = (ROOT / "layer" / "native" / "attempts.c").read_text(encoding="utf-8")
    found = {name: int(value, 8 if value.startswith("0") else 10) for name, value in DEFINED.findall(source)}
    assert found["MOST_FILES"] == attempts.MOST_FILES
    assert found["OLD_S"] == attempts.OLD_S
    assert (found["UNLOCKED_MODE"], found["LOCKED_MODE"]) == (lockfile._UNLOCKED, lockfile._LOCKED)


DEFINED = re.compile(r"^#define (\w+) (\d+)$", re.MULTILINE)
