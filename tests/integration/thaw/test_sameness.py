"""A snapshot of something else than what was deployed is never served: both engines, every way to differ."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from quickthaw.runtime import metrics

from tests.conftest import Freezer
from tests.integration.thaw.conftest import VICTIM, Thaw, answers, bootstrap_lines
from tests.integration.thaw.test_faults import build_library, flip

ENGINES = ("criu", "native")


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A copy of the small victim that a test may change."""
    shutil.copytree(VICTIM, tmp_path / "task")
    return tmp_path / "task"


def append(task: Path, text: str) -> None:
    """Adds to the function's module."""
    with (task / "app.py").open("a") as file:
        file.write(text)


def reason_of_cold_start(thaw: Thaw, snapshot: Path, task: Path, engine: str, **more: object) -> str:
    """The one reason in the log of a start that must have been cold, and right."""
    run = thaw(snapshot, task=task, engine=engine, **more)
    assert run.errors == (), run.log
    (line,) = bootstrap_lines(run)
    assert line["engine"] == "cold", run.log
    assert answers(run)[0]["hooks"] == []
    return str(line["reason"])


@pytest.mark.parametrize("engine", ENGINES)
def test_new_code_under_an_old_snapshot_is_noticed(
    engine: str, task: Path, tmp_path: Path, freeze: Freezer, thaw: Thaw
) -> None:
    (task / "helper.py").write_text("WORD = 'one'\n")
    append(task, "\nimport helper\n")
    snapshot = freeze(task, tmp_path / "snapshot")
    assert thaw(snapshot, task=task, engine=engine).engine == engine
    (task / "helper.py").write_text("WORD = 'two'\n")
    assert "helper.py" in reason_of_cold_start(thaw, snapshot, task, engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_code_that_was_only_unpacked_anew_is_accepted(
    engine: str, task: Path, tmp_path: Path, freeze: Freezer, thaw: Thaw
) -> None:
    snapshot = freeze(task, tmp_path / "snapshot")
    os.utime(task / "app.py", (1_700_000_000, 1_700_000_000))
    assert thaw(snapshot, task=task, engine=engine).engine == engine


@pytest.mark.parametrize("engine", ENGINES)
def test_another_version_of_a_package_is_noticed(
    engine: str, task: Path, tmp_path: Path, freeze: Freezer, thaw: Thaw
) -> None:
    (task / "wheel").mkdir()
    (task / "wheel" / "__init__.py").write_text("")
    (task / "wheel-1.dist-info").mkdir()
    (task / "wheel-1.dist-info" / "RECORD").write_text("wheel/__init__.py,sha256=aa,0\n")
    append(task, "\nimport wheel\n")
    snapshot = freeze(task, tmp_path / "snapshot")
    (task / "wheel-1.dist-info" / "RECORD").write_text("wheel/__init__.py,sha256=bb,0\n")
    assert "wheel-1.dist-info/RECORD" in reason_of_cold_start(thaw, snapshot, task, engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_rebuilt_library_with_a_clamped_time_is_noticed(
    engine: str, task: Path, tmp_path: Path, freeze: Freezer, thaw: Thaw
) -> None:
    append(task, "\nLIBRARY = ctypes.CDLL('/var/task/libanswer.so')\n")
    for answer in (1, 2):
        build_library(task, answer)
        os.utime(task / "libanswer.so", (315_532_800, 315_532_800))  # the first second of 1980
        if answer == 1:
            snapshot = freeze(task, tmp_path / "snapshot")
            assert thaw(snapshot, task=task, engine=engine).engine == engine
    assert "libanswer.so" in reason_of_cold_start(thaw, snapshot, task, engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_another_handler_is_not_served_by_this_ones_snapshot(engine: str, small: Path, thaw: Thaw) -> None:
    reason = reason_of_cold_start(thaw, small, VICTIM, engine, env={"_HANDLER": "app.other"})
    assert "the snapshot is of handler app.handler, the function's is app.other" in reason


@pytest.mark.parametrize("engine", ENGINES)
def test_a_wake_that_fails_leaves_nothing_to_the_cold_start(
    engine: str, task: Path, tmp_path: Path, freeze: Freezer, thaw: Thaw
) -> None:
    append(
        task,
        "\nos.chdir('/tmp')\nos.umask(0o077)\nimport signal\n"
        "signal.signal(signal.SIGUSR1, signal.SIG_IGN)\n"
        "OPEN = open(__file__); os.set_inheritable(OPEN.fileno(), True)\n"
        "@snapshot_restore_py.register_after_restore\ndef bad():\n    raise ValueError('no luck')\n",
    )
    snapshot = freeze(task, tmp_path / "snapshot")
    assert "hooks: ValueError: no luck" in reason_of_cold_start(thaw, snapshot, task, engine)


def test_a_second_page_file_is_restored_whole(
    task: Path, tmp_path: Path, freeze: Freezer, thaw: Thaw
) -> None:
    append(
        task,
        "\nimport zlib\nMEMORY = os.memfd_create('table')\n"
        "for page in range(4096):\n    os.write(MEMORY, bytes([page % 251]) * 4096)\n"
        "_plain = handler\n"
        "def handler(event, context):\n"
        "    os.lseek(MEMORY, 0, 0)\n"
        "    return {**_plain(event, context), 'memory': zlib.crc32(os.read(MEMORY, 1 << 25))}\n",
    )
    snapshot = freeze(task, tmp_path / "snapshot")
    assert len(list((snapshot / "images").glob("pages-*.comp.img"))) == 2
    expected = answers(thaw(None, task=task))[0]["memory"]
    for _ in range(3):
        run = thaw(snapshot, task=task)
        assert (run.engine, run.mode) == ("criu", "async")
        assert answers(run)[0]["memory"] == expected
    for mode in ("grow", "stream"):
        run = thaw(snapshot, task=task, mode=mode)
        assert run.engine == "cold" and "one page file only" in str(run.reason)


def test_the_restorers_own_log_line_is_the_bootstraps(small: Path, tmp_path: Path, thaw: Thaw) -> None:
    for name, word in (("absent", "no-snapshot"), ("spoiled", "damaged")):
        shutil.copytree(small, tmp_path / name)
        if word == "damaged":
            flip(tmp_path / name / "native" / "plan", 5000)
        else:
            shutil.rmtree(tmp_path / name / "native")
        run = thaw(tmp_path / name, engine="native")
        (line,) = bootstrap_lines(run)
        expected = metrics.members(line, function="function", timestamp_ms=line["_aws"]["Timestamp"])
        assert {member: line[member] for member in expected} == expected
        assert line["Reason"] == word
        assert 0 < line["lost_s"] < 1


@pytest.mark.parametrize("engine", ENGINES)
def test_monotonic_time_does_not_go_back(
    engine: str, task: Path, tmp_path: Path, freeze: Freezer, thaw: Thaw
) -> None:
    append(
        task,
        "\nAT_IMPORT = time.monotonic()\n_plain = handler\n"
        "def handler(event, context):\n"
        "    return {**_plain(event, context), 'import': AT_IMPORT, 'now': time.monotonic()}\n",
    )
    run = thaw(freeze(task, tmp_path / "snapshot"), task=task, engine=engine)
    assert run.engine == engine
    answer = answers(run)[0]
    assert answer["import"] <= answer["now"]
    assert answer["import"] < 120, "the checkpoint's clocks begin at zero, however long the machine is up"
