"""Whatever is wrong with a snapshot or happens during a thaw, the request is answered by a cold start."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from quickthaw import names
from quickthaw.snapshot import manifest
from quickthaw.snapshot.pages import RAW_BIT, read_index

from tests.conftest import Freezer
from tests.integration.thaw.conftest import VICTIM, Thaw, answers, assert_cold

PAGES = "images/pages-1.comp.img"
DAMAGED = ("damaged", "ERROR_", "no LZ4 frame", "no snapshot", "not JSON", "Expecting")


@pytest.fixture
def copy(small: Path, tmp_path: Path) -> Path:
    """A snapshot that a test may spoil."""
    shutil.copytree(small, tmp_path / "snapshot")
    return tmp_path / "snapshot"


def flip(path: Path, at: int) -> None:
    """Inverts one bit of one byte."""
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0x10]))


def test_a_flipped_byte_in_any_file_is_noticed(small: Path, copy: Path, thaw: Thaw) -> None:
    files = [path.relative_to(copy) for path in sorted(copy.rglob("*")) if path.is_file()]
    files = [file for file in files if file.parts[0] != names.NATIVE]  # see the native engine's tests
    assert len(files) > 12
    for file in files:
        mode = "plain" if file.name == "pages-1.img" else "grow"
        flip(copy / file, (copy / file).stat().st_size // 2)
        assert_cold(thaw(copy, mode=mode), *DAMAGED)
        shutil.copy2(small / file, copy / file)
    assert thaw(copy).engine == "criu", "restored, it thaws again"


@pytest.mark.parametrize("share", [0.001, 0.3, 0.999])
def test_a_flipped_byte_anywhere_in_the_manifest_is_noticed(share: float, copy: Path, thaw: Thaw) -> None:
    path = copy / names.MANIFEST
    flip(path, int(path.stat().st_size * share))
    assert_cold(thaw(copy), *DAMAGED)


@pytest.mark.parametrize("mode", ["grow", "async", "sync", "stream"])
@pytest.mark.parametrize("block", ["first", "middle", "last"])
def test_a_block_that_does_not_decode_ends_the_thaw(block: str, mode: str, copy: Path, thaw: Thaw) -> None:
    path = copy / PAGES
    with path.open("rb") as file:
        stored = [size & ~RAW_BIT for size in read_index(file.fileno(), str(path)).stored]
    number = {"first": 0, "middle": len(stored) // 2, "last": len(stored) - 1}[block]
    flip(path, 15 + sum(size + 8 for size in stored[:number]) + 4 + stored[number] // 2)
    assert_cold(thaw(copy, mode=mode), f"block {number}: ERROR_blockChecksum_invalid")


@pytest.mark.parametrize("part", ["frame header", "block index"])
def test_damage_around_the_blocks_is_noticed(part: str, copy: Path, thaw: Thaw) -> None:
    path = copy / PAGES
    flip(path, 5 if part == "frame header" else path.stat().st_size - 10)
    assert_cold(thaw(copy), *DAMAGED)


def test_a_truncated_page_file_is_noticed_before_criu_starts(copy: Path, thaw: Thaw) -> None:
    os.truncate(copy / PAGES, (copy / PAGES).stat().st_size // 2)
    assert_cold(thaw(copy), "the manifest says")


def test_a_missing_image_is_noticed(copy: Path, thaw: Thaw) -> None:
    next((copy / "images").glob("core-*.img")).unlink()
    assert_cold(thaw(copy), "No such file")


def test_a_directory_without_a_manifest_is_no_snapshot(copy: Path, thaw: Thaw) -> None:
    (copy / names.MANIFEST).unlink()
    assert_cold(thaw(copy), "no snapshot")


def reseal(copy: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Changes the manifest and gives it a checksum that fits."""
    body = manifest.read(str(copy)).body
    change(body)
    (copy / names.MANIFEST).write_bytes(manifest.seal(body))


def test_a_manifest_of_another_version_is_refused(copy: Path, thaw: Thaw) -> None:
    path = copy / names.MANIFEST
    head = path.read_bytes().decode().rpartition(',\n "checksum"')[0].replace('"format": 1', '"format": 2')
    path.write_text(f'{head},\n "checksum": "crc32:{zlib.crc32(head.encode()):08x}"\n}}\n')
    assert_cold(thaw(copy), "format 2")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda body: body["tool"].update(quickthaw="0.0.9"), "made by quickthaw 0.0.9"),
        (lambda body: body["machine"].update(arch="aarch64"), "is for aarch64"),
        (lambda body: body["machine"].update(cpu_flags=["avx9000"]), "CPU lacks avx9000"),
        (lambda body: body["python"].update(tag="cpython-399"), "cpython-399"),
        (lambda body: body["process"].update(processes=2), "one process with one page file only"),
        (lambda body: body["tool"].update(criu="3.17.1"), "not known to work with CRIU 3.17.1"),
    ],
    ids=["quickthaw", "architecture", "processor", "interpreter", "processes", "criu"],
)
def test_a_snapshot_of_something_else_is_refused(
    change: Callable[[dict[str, Any]], None], reason: str, copy: Path, thaw: Thaw
) -> None:
    reseal(copy, change)
    assert_cold(thaw(copy, mode="grow"), reason)


@pytest.fixture
def library_task(tmp_path: Path) -> Path:
    """A function that maps a shared library of its own."""
    task = tmp_path / "task"
    shutil.copytree(VICTIM, task)
    build_library(task, 1)
    with (task / "app.py").open("a") as app:
        app.write("\n\nLIBRARY = ctypes.CDLL('/var/task/libanswer.so')\nLIBRARY.answer()\n")
    return task


def build_library(task: Path, answer: int) -> None:
    """Compiles libanswer.so; another answer has the same size and another build-id."""
    subprocess.run(
        ["gcc", "-shared", "-Wl,--build-id", "-x", "c", "-", "-o", str(task / "libanswer.so")],
        input=f"int answer(void) {{ return {answer}; }}".encode(),
        check=True,
    )


def test_a_mapped_library_that_changed_is_noticed(
    library_task: Path, tmp_path: Path, freeze: Freezer, thaw: Thaw
) -> None:
    snapshot = freeze(library_task, tmp_path / "snapshot")
    assert thaw(snapshot, task=library_task).engine == "criu"
    build_library(library_task, 2)
    assert_cold(thaw(snapshot, task=library_task), "libanswer.so")


def test_a_library_that_was_only_copied_anew_is_accepted(
    library_task: Path, tmp_path: Path, freeze: Freezer, thaw: Thaw
) -> None:
    snapshot = freeze(library_task, tmp_path / "snapshot")
    os.utime(library_task / "libanswer.so", (1, 1))
    assert thaw(snapshot, task=library_task).engine == "criu"


@pytest.mark.parametrize("mode", ["grow", "async", "sync"])
def test_a_full_tmp_is_a_cold_start(mode: str, small: Path, thaw: Thaw) -> None:
    def fill(pid: int) -> None:
        with Path(f"/proc/{pid}/root/tmp/filler").open("wb") as file:
            space = os.fstatvfs(file.fileno())
            os.posix_fallocate(file.fileno(), 0, space.f_bavail * space.f_bsize - (4 << 20))

    run = thaw(small, mode=mode, before_exec=fill)
    assert run.errors == ()
    assert run.engine == "cold" and "No space left" in str(run.reason), run.log
    assert [name for name in answers(run)[0]["tmp"] if not name.startswith(".quickthaw-")] == ["filler"]
    assert answers(run)[0]["sum"] == 100_009


@pytest.fixture
def kill_criu() -> Iterator[Callable[[int], None]]:
    """Kills CRIU as soon as its process for the restored tree exists; for `before_exec`."""
    threads = []

    def start(pid: int) -> None:
        thread = threading.Thread(target=_kill_criu_below, args=(pid,))
        thread.start()
        threads.append(thread)

    yield start
    for thread in threads:
        thread.join()


def _kill_criu_below(pid: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for child in _children(pid):
            try:
                words = Path(f"/proc/{child}/cmdline").read_bytes()
                if b"criu.bin" in words and b"restore" in words:
                    os.kill(child, signal.SIGKILL)
                    return
            except OSError:
                continue


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


@pytest.mark.parametrize("mode", names.MODES)
def test_criu_killed_in_the_middle_is_a_cold_start(
    mode: str, small: Path, thaw: Thaw, kill_criu: Callable[[int], None]
) -> None:
    assert_cold(thaw(small, mode=mode, before_exec=kill_criu), "CRIU ended with signal 9")


def test_a_criu_that_never_ends_is_given_up(small: Path, tmp_path: Path, thaw: Thaw) -> None:
    task = tmp_path / "task"
    shutil.copytree(VICTIM, task)
    (task / "criu").write_text("#!/bin/sh\nexec tail -f /dev/null\n")
    (task / "criu").chmod(0o755)
    env = {names.ENV_CRIU: "/var/task/criu", names.ENV_WATCHDOG: "0.5"}
    assert_cold(thaw(small, task=task, env=env), "the thaw took longer than 0.5 s")


def test_a_criu_that_says_yes_and_does_nothing_is_noticed(small: Path, tmp_path: Path, thaw: Thaw) -> None:
    assert_cold(thaw(small, env={names.ENV_CRIU: "/bin/true"}), "before it woke")


def test_an_after_restore_hook_that_fails_is_a_cold_start(
    tmp_path: Path, freeze: Freezer, thaw: Thaw
) -> None:
    task = tmp_path / "task"
    shutil.copytree(VICTIM, task)
    with (task / "app.py").open("a") as app:
        app.write(
            "\n\n@snapshot_restore_py.register_after_restore\ndef bad():\n    raise ValueError('no luck')\n"
        )
    snapshot = freeze(task, tmp_path / "snapshot")
    assert_cold(thaw(snapshot, task=task), "hooks: ValueError: no luck")


@pytest.mark.parametrize(
    ("env", "reason"),
    [
        ({names.ENV_ENGINE: "warp"}, "QUICKTHAW_ENGINE=warp"),
        ({names.ENV_MODE: "warp"}, "QUICKTHAW_MODE=warp"),
        ({names.ENV_WATCHDOG: "soon"}, "QUICKTHAW_WATCHDOG=soon"),
        ({names.ENV_SNAPSHOT: "/nowhere"}, "no snapshot at /nowhere"),
        ({names.ENV_CRIU: "/nowhere/criu"}, "/nowhere/criu"),
    ],
    ids=["engine", "mode", "watchdog", "snapshot", "criu"],
)
def test_a_setting_that_cannot_be_meant_is_a_cold_start(
    env: dict[str, str], reason: str, small: Path, thaw: Thaw
) -> None:
    assert_cold(thaw(small, env=env), reason)


def test_the_log_line_of_a_cold_start_says_what_was_lost(copy: Path, thaw: Thaw) -> None:
    (copy / names.MANIFEST).write_text(json.dumps({"format": 1}))
    run = thaw(copy)
    assert run.thaw is not None
    assert 0 < float(str(run.thaw["lost_s"])) < float(str(run.init_s))
