"""Room, memory, descriptors, permissions and clocks that are not what a thaw wants."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from quickthaw import names
from quickthaw.checkpoint.verify import verify
from quickthaw.errors import BadSnapshot, Declined
from quickthaw.runtime.opened import Opened
from quickthaw.snapshot import manifest

from tests.conftest import Freezer
from tests.integration.faults.conftest import ENGINES, Start, chain, lines
from tests.integration.thaw.conftest import assert_cold

pytestmark = [pytest.mark.criu, pytest.mark.sandbox]
DAY_S = 86400
PAGES = "images/pages-1.comp.img"


# --- /tmp --------------------------------------------------------------------------------------------


def fill(room: int) -> Callable[[int], None]:
    """A `before_exec` that leaves `room` bytes in /tmp; a file system takes some for itself."""

    def before_exec(pid: int) -> None:
        with Path(f"/proc/{pid}/root/tmp/filler").open("wb") as file:
            size, piece = 0, 1 << 30
            while piece >= 4096:
                space = os.fstatvfs(file.fileno())
                piece = min(piece, space.f_bavail * space.f_bsize - room)
                if piece <= 0:
                    break
                try:
                    os.posix_fallocate(file.fileno(), size, piece)
                    size += piece
                except OSError as error:
                    assert error.errno == errno.ENOSPC
                    piece //= 2

    return before_exec


def test_the_native_engine_needs_no_room_in_tmp(start: Start) -> None:
    run = start("native", before_exec=fill(0))
    assert (run.engine, run.errors) == ("native", ())


@pytest.mark.parametrize("room", [0, 4096, 1 << 20])
def test_with_criu_a_full_tmp_is_a_cold_start(room: int, start: Start) -> None:
    run = start("criu", before_exec=fill(room))
    assert (run.engine, run.errors) == ("cold", ())
    assert "No space left" in str(run.reason)
    assert [name for name in run.answers[0]["tmp"] if not name.startswith(".quickthaw")] == ["filler"]  # type: ignore[index]


def test_files_that_the_import_left_find_no_room(
    start: Start, faulty_task: Path, freeze: Freezer, tmp_path: Path
) -> None:
    task = tmp_path / "task"
    shutil.copytree(faulty_task, task)
    with (task / "app.py").open("a") as app:
        app.write(
            "\n\nif os.environ.get('LEAVES'):\n    open('/tmp/left', 'wb').write(os.urandom(1 << 20))\n"
        )
    snapshot = freeze(task, tmp_path / "snapshot", layout="lz4", environ={"LEAVES": "yes"})
    assert start("native", task=task, snapshot=snapshot).engine == "native"
    run = start("native", task=task, snapshot=snapshot, before_exec=fill(8192))
    assert (run.engine, run.errors) == ("cold", ())
    assert "cannot write /tmp/left: no space left" in str(run.reason)
    assert lines(run)[0]["Reason"] == "no-room"
    assert run.answers[0]["tmp"] == ["filler"], "what the decline had begun to write is gone"  # type: ignore[index]


# --- descriptors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [24, 64, 830])
@pytest.mark.parametrize("engine", ENGINES)
def test_too_few_descriptors_are_a_cold_start(engine: str, limit: int, start: Start, own_layer: Path) -> None:
    chain(own_layer, f"ulimit -n {limit}")
    run = start(engine, layer=own_layer)
    if limit == 830 and run.engine == engine:
        assert run.errors == ()  # above the frozen process's highest: enough for this engine
    else:
        assert_cold(run, "descriptor", "open files", "CRIU ended with")


# --- memory ------------------------------------------------------------------------------------------


@pytest.fixture
def heavy(faulty_task: Path, freeze: Freezer, tmp_path: Path) -> Path:
    """A snapshot of 300 MB of a function that needs little when it starts cold; small where it is packed."""
    return freeze(
        faulty_task, tmp_path / "heavy", layout="lz4", keep_uncompressed=False, environ={"WEIGHT_MB": "300"}
    )


def test_out_of_memory_while_filling_is_lambdas_error_and_then_a_cold_start(
    start: Start, heavy: Path, shared_tmp: Path
) -> None:
    """The kernel kills the process that it is; nobody is left to start cold, but the next start knows."""
    run = start("native", events=3, snapshot=heavy, tmp=shared_tmp, memory_mb=160, memory_limit=True)
    assert [error["event"] for error in run.errors] == [0]
    assert "Runtime exited with error: signal: killed" in str(run.errors[0]["errorMessage"])
    assert [line["reason"] for line in lines(run)] == [
        "the thaw failed 2 times in this environment and is not tried again"
    ]
    assert [path.name.startswith(".quickthaw-") for path in shared_tmp.iterdir()] == [True, True]


def test_with_criu_out_of_memory_is_a_cold_start_or_lambdas_error(
    start: Start, heavy: Path, shared_tmp: Path
) -> None:
    """The kernel may choose the bootstrap instead of what it restores."""
    run = start("criu", events=3, snapshot=heavy, tmp=shared_tmp, memory_mb=160, memory_limit=True)
    assert [answer["sum"] for answer in run.answers[1:]] == [100_009, 100_009]  # type: ignore[index]
    assert [line["engine"] for line in lines(run)] == ["cold"]
    assert all("signal: killed" in str(error["errorMessage"]) for error in run.errors)
    assert not [path for path in shared_tmp.iterdir() if not path.name.startswith(".quickthaw-")]


# --- time --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "reason"), [("0.0001", "took longer than 0 ms"), ("soon", "=soon is no number")]
)
def test_a_native_thaw_that_takes_longer_than_it_may_is_a_cold_start(
    given: str, reason: str, start: Start
) -> None:
    assert_cold(start("native", env={names.ENV_WATCHDOG: given}), reason)


@pytest.mark.parametrize("given", ["1", "2.5", ".9", "600", ""])
def test_the_native_engine_reads_the_watchdogs_seconds(given: str, start: Start) -> None:
    assert start("native", env={names.ENV_WATCHDOG: given}).engine == "native"


@pytest.mark.parametrize("given", ["0", "601", "-1", "1s", ".", "1e3", "99999999999999999999"])
def test_what_is_no_number_of_seconds_is_a_cold_start(given: str, start: Start) -> None:
    assert_cold(start("native", env={names.ENV_WATCHDOG: given}), "is no number of seconds up to 600")


# --- permissions and places --------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("what", ["snapshot", "python", "lib", "criu"])
def test_a_part_of_opt_that_cannot_be_read_is_a_cold_start(
    engine: str, what: str, start: Start, own_layer: Path, faulty: Path, tmp_path: Path
) -> None:
    snapshot = tmp_path / "snapshot"
    shutil.copytree(faulty, snapshot)
    place = {"snapshot": snapshot}.get(what, own_layer / what)
    for path in [place, *place.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)
        os.chown(path, 0, 0)
    run = start(engine, layer=own_layer, snapshot=snapshot)
    if engine == "native" and what in ("lib", "criu"):
        assert (run.engine, run.errors) == ("native", ()), run.log
    else:
        assert_cold(run, "denied", "no Python bootstrap", "cannot decode", "could not")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "name", ["manifest.json", "native/plan", "native/pages.lz4", "images/pages-1.comp.img"]
)
def test_one_file_of_somebody_elses_account_is_a_cold_start(
    engine: str, name: str, start: Start, faulty: Path, tmp_path: Path
) -> None:
    snapshot = tmp_path / "snapshot"
    shutil.copytree(faulty, snapshot)
    (snapshot / name).chmod(0o600)
    os.chown(snapshot / name, 0, 0)
    run = start(engine, snapshot=snapshot)
    if name.startswith("native/") == (engine == "native"):
        assert_cold(run, "denied")
    else:
        assert (run.engine, run.errors) == (engine, ())


@pytest.mark.parametrize(
    "name", ["manifest.json", "native/plan", "images/pages-1.comp.img", "images/mm-1.img"]
)
def test_a_fifo_in_the_place_of_a_file_holds_nothing_up(
    name: str, start: Start, faulty: Path, tmp_path: Path
) -> None:
    snapshot = tmp_path / "snapshot"
    shutil.copytree(faulty, snapshot)
    place = next(iter(snapshot.glob(name.replace("mm-1", "mm-*"))))
    place.unlink()
    os.mkfifo(place, 0o644)
    begin = time.monotonic()
    run = start("native" if name.startswith("native/") else "criu", snapshot=snapshot)
    assert_cold(run, "damaged", "has 0 bytes", "is no plan", "regular")
    assert time.monotonic() - begin < 20


# --- clocks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_a_clock_that_was_set_back_a_day_is_no_fault(
    engine: str, start: Start, faulty_task: Path, freeze: Freezer, tmp_path: Path
) -> None:
    """Everything that the snapshot and the process remember of the time lies a day ahead."""
    task = tmp_path / "task"
    shutil.copytree(faulty_task, task)
    source = (task / "app.py").read_text().replace("BORN = time.time()", f"BORN = time.time() + {DAY_S}")
    (task / "app.py").write_text(source)
    tomorrow = time.time() + DAY_S
    for path in task.rglob("*"):
        os.utime(path, (tomorrow, tomorrow))
    snapshot = freeze(task, tmp_path / "snapshot", layout="lz4")
    for path in [snapshot, *snapshot.rglob("*")]:
        os.utime(path, (tomorrow, tomorrow))
    run = start(engine, task=task, snapshot=snapshot)
    assert (run.engine, run.errors) == (engine, ())
    answer: Any = run.answers[0]
    assert answer["sum"] == 100_009
    assert answer["now"] < answer["born"] - DAY_S / 2, "the clock is this machine's"


# --- replaced while it is thawed ---------------------------------------------------------------------


def exchange(one: Path, two: Path) -> None:
    """Both names at once, as renameat2(RENAME_EXCHANGE) does."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.renameat2(-100, os.fsencode(one), -100, os.fsencode(two), 2)
    assert result == 0, os.strerror(ctypes.get_errno())


@pytest.mark.parametrize("engine", ENGINES)
def test_a_snapshot_that_is_replaced_while_it_is_thawed_is_never_mixed(
    engine: str,
    start: Start,
    faulty: Path,
    faulty_task: Path,
    freeze: Freezer,
    own_layer: Path,
    tmp_path: Path,
) -> None:
    """Two snapshots change places all the time: each start gets one of them, or is cold with one reason."""
    other = freeze(faulty_task, tmp_path / "other", layout="lz4")
    places = own_layer / "snapshots"
    for name, source in (("current", faulty), ("next", other)):
        shutil.copytree(source, places / name)
    ids = {manifest.read(str(places / name)).id for name in ("current", "next")}
    stop = threading.Event()

    def swap() -> None:
        while not stop.wait(0.002):
            exchange(places / "current", places / "next")

    swapper = threading.Thread(target=swap)
    swapper.start()
    thawed = 0
    try:
        for _ in range(20):
            run = start(
                engine, layer=own_layer, snapshot=places, env={names.ENV_SNAPSHOT: "/opt/snapshots/current"}
            )
            assert run.errors == (), run.log
            assert run.answers[0]["sum"] == 100_009  # type: ignore[index]
            (line,) = lines(run)
            if line["engine"] == engine:
                thawed += 1
                assert line["snapshot"] in ids
            else:
                assert "does not belong" in line["reason"] or "not " in line["reason"], line["reason"]
    finally:
        stop.set()
        swapper.join()
    assert thawed, "not one start found a snapshot that stayed"


def test_what_was_checked_is_what_is_used(faulty: Path, tmp_path: Path) -> None:
    """After the directory is open, whatever happens at its path happens to another snapshot."""
    shutil.copytree(faulty, tmp_path / "current")
    (tmp_path / "next").mkdir()
    opened = Opened(str(tmp_path / "current"))
    exchange(tmp_path / "current", tmp_path / "next")
    found = manifest.read(opened.path, directory=opened.fd)
    opened.check(found)
    image = next(name for name in opened.small if name.startswith("images/core-"))
    (tmp_path / "next" / image).write_bytes(b"something else")
    (tmp_path / "next" / "images" / "pages-1.comp.img").unlink()
    assert opened.small[image] == (faulty / image).read_bytes()
    fd = opened.pages("pages-1.comp.img")
    assert os.pread(fd, 1 << 30, 0) == (faulty / "images" / "pages-1.comp.img").read_bytes()
    with pytest.raises(BadSnapshot, match="no snapshot"):
        manifest.read(str(tmp_path / "current"))
    with pytest.raises(Declined, match="damaged|bytes"):
        Opened(str(tmp_path / "next")).check(found)


def test_damage_in_lazy_pages_is_for_verify_to_find(
    faulty_task: Path, freeze: Freezer, tmp_path: Path
) -> None:
    """A thaw does not read them: that would be the eager thaw."""
    snapshot = freeze(faulty_task, tmp_path / "snapshot", layout="lazy")
    assert [one.what for one in verify(snapshot) if one.problem] == []
    pages = snapshot / "native" / "pages.raw"
    with pages.open("r+b") as file:
        file.seek(pages.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    assert [one.what for one in verify(snapshot) if one.problem] == ["native/pages.raw"]


# --- the kernel --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["grow", "async", "stream"])
def test_criu_without_leases_thaws_or_starts_cold(mode: str, start: Start) -> None:
    run = start("criu", mode=mode, deny=frozenset({"lease"}))
    if mode == "async":
        assert_cold(run, "ermission denied")
    else:
        assert (run.engine, run.errors) == ("criu", ())


def test_a_snapshot_of_another_architecture_is_refused_by_the_restorer(
    start: Start, faulty: Path, tmp_path: Path
) -> None:
    from quickthaw.plan import layout
    from quickthaw.plan.tables import resealed

    snapshot = tmp_path / "snapshot"
    shutil.copytree(faulty, snapshot)
    plan = bytearray((snapshot / "native" / "plan").read_bytes())
    plan[layout.HEADER.offset("machine")] ^= 0x40
    (snapshot / "native" / "plan").write_bytes(resealed(bytes(plan)))
    run = start("native", snapshot=snapshot)
    assert_cold(run, "is for another architecture")


def test_a_tmp_that_cannot_be_written_is_no_obstacle_for_the_native_engine(
    start: Start, tmp_path: Path
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    assert start("native", tmp=closed).engine == "native"
    assert_cold(start("criu", tmp=closed), "Permission denied")
