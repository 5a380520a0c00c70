"""The restored process is the frozen one: it runs, everything in it works, and its memory is the same."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from quickthaw import criuimg, names
from quickthaw.bench.demo import task_dir
from quickthaw.criuimg import records as r
from quickthaw.plan import cpu, left
from quickthaw.plan import layout as plan_layout
from quickthaw.plan.contents import Contents
from quickthaw.plan.resolve import from_sandbox
from quickthaw.plan.tables import rows

from tests.conftest import absent

from .conftest import Freezer, Frozen, Memory, Thawed, Thawer, hot_half

pytestmark = [pytest.mark.criu, pytest.mark.sandbox]
LAYOUTS = ("lz4", "lazy", "hot")
PHASES = ("check_s", "map_s", "decompress_s", "finish_s")
# Layout and switches: each place that pages can come from.
SOURCES = (("lz4", ""), ("lazy", ""), ("hot", "cached"), ("hot", "copied"))


def snapshot_of(frozen: Frozen, out: Path, layout: str, **more: object) -> Path:
    hot = hot_half(frozen) if layout == "hot" else None
    frozen.plan(out, layout, hot=hot, **more)
    return out


def with_numbers(freeze_victim: Freezer, python: Path) -> Frozen:
    """The demo's packages, warmed up, and BLAS's workers."""
    environ = {"OPENBLAS_NUM_THREADS": "2"}
    return freeze_victim(python, "numbers_", "selftest", site=task_dir(python), environ=environ)


def problems(thawed: Thawed) -> dict[str, str]:
    return problems_of(thawed.answer())


def problems_of(answer: dict[str, Any]) -> dict[str, str]:
    return {item: problem for item, problem in answer["results"].items() if problem}


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_python_works_after_a_thaw(
    freeze_victim: Freezer, thaw: Thawer, each_python: Path, layout: str, threads: int, tmp_path: Path
) -> None:
    environ = {"VICTIM_SINGLE": "1"} if threads == 1 else {}
    frozen = freeze_victim(each_python, "selftest", environ=environ)
    assert frozen.threads == threads
    with thaw(frozen, snapshot_of(frozen, tmp_path, layout), modules=("selftest",)) as thawed:
        answer = thawed.answer()
    assert {item: problem for item, problem in answer["results"].items() if problem} == {}
    assert len(answer["results"]) >= (42 if threads > 1 else 40)
    assert answer["context"]["mode"] == layout
    times = answer["context"]["timings"]
    assert all(times[phase] > 0 for phase in PHASES)
    assert sum(times[phase] for phase in PHASES) <= times["restore_s"] + 1e-5, "each is cut to microseconds"
    assert 0 < times["compare_s"] < times["restore_s"], "beside the mapping"


@pytest.fixture
def fixed_python() -> Path:
    """An interpreter that is no PIE, as Debian's: text at 4 MiB, heap within the first GiB above it."""
    path = Path("/usr/bin/python3")
    if not path.exists() or path.read_bytes()[16] != 2:  # e_type, ET_EXEC
        absent("Debian's Python, linked at a fixed address, is not on this machine")
    return path


def test_an_interpreter_at_a_fixed_address_thaws(
    freeze_victim: Freezer, thaw: Thawer, fixed_python: Path, tmp_path: Path
) -> None:
    frozen = freeze_victim(fixed_python, "selftest")
    with thaw(frozen, snapshot_of(frozen, tmp_path, "hot"), modules=("selftest",)) as thawed:
        assert problems(thawed) == {}


def test_a_brk_that_cannot_be_set_is_never_a_trap(
    freeze_victim: Freezer, thaw: Thawer, fixed_python: Path, tmp_path: Path
) -> None:
    """The kernel's brk is below the heap by luck, after some tries; else it is a cold start."""
    frozen = freeze_victim(fixed_python, "selftest")
    snapshot = snapshot_of(frozen, tmp_path, "lazy")
    outcomes = []
    for _ in range(4):
        environ = {"VICTIM_NO_MM_MAP": "1"}
        with thaw(frozen, snapshot, modules=("selftest",), deny=("mm_map",), environ=environ) as thawed:
            reason = thawed.declined()
            outcomes.append(reason or problems(thawed))
    refused = "PR_SET_MM_MAP is refused, and the kernel's brk is above the heap"
    assert all(outcome in ({}, refused) for outcome in outcomes)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_blas_workers_compute_what_they_computed(
    freeze_victim: Freezer, thaw: Thawer, python: Path, layout: str, tmp_path: Path
) -> None:
    frozen = with_numbers(freeze_victim, python)
    assert frozen.threads >= 4
    with thaw(frozen, snapshot_of(frozen, tmp_path, layout), modules=("numbers_", "selftest")) as thawed:
        assert problems(thawed) == {}


@pytest.mark.parametrize("widths", ["half", "half,wide"])
def test_threads_in_the_middle_of_a_computation_keep_their_vector_registers(
    freeze_victim: Freezer, thaw: Thawer, python: Path, widths: str, tmp_path: Path
) -> None:
    flags = cpu.of_this_machine()
    if not {"avx2", *(["avx512f"] if "wide" in widths else [])} <= flags:
        pytest.skip(f"this CPU has no registers of these widths: {widths}")
    site = tmp_path / "site"
    site.mkdir()
    source = Path(__file__).resolve().parents[2] / "victims" / "native" / "registers.c"
    command = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]
    subprocess.run([*command, str(site / "registers.so"), str(source)], check=True)
    frozen = freeze_victim(python, "registers", site=site, environ={"VICTIM_WIDTHS": widths})
    assert frozen.threads == 2 + len(widths.split(","))
    with thaw(frozen, snapshot_of(frozen, tmp_path, "lz4"), modules=("registers",)) as thawed:
        answer = thawed.answer()
    assert answer["results"] and problems_of(answer) == {}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_an_import_may_hold_is_there_again(
    freeze_victim: Freezer, thaw: Thawer, python: Path, layout: str, tmp_path: Path
) -> None:
    frozen = freeze_victim(python, "held")
    with thaw(frozen, snapshot_of(frozen, tmp_path, layout), modules=("held",)) as thawed:
        assert problems(thawed) == {}


@pytest.mark.parametrize(("layout", "words"), SOURCES)
def test_all_memory_of_every_python_is_the_same_right_after_the_thaw(
    freeze_victim: Freezer, thaw: Thawer, each_python: Path, layout: str, words: str, tmp_path: Path
) -> None:
    frozen = freeze_victim(each_python, "selftest", "held")
    assert frozen.threads > 5
    compare(frozen, thaw, snapshot_of(frozen, tmp_path, layout), words)


@pytest.mark.parametrize(("layout", "words"), SOURCES)
def test_all_memory_of_one_thread_is_the_same(
    freeze_victim: Freezer, thaw: Thawer, python: Path, layout: str, words: str, tmp_path: Path
) -> None:
    frozen = freeze_victim(python, "selftest", environ={"VICTIM_SINGLE": "1"})
    compare(frozen, thaw, snapshot_of(frozen, tmp_path, layout), words)


@pytest.mark.parametrize(("layout", "words"), SOURCES)
def test_all_memory_of_large_libraries_is_the_same(
    freeze_victim: Freezer, thaw: Thawer, python: Path, layout: str, words: str, tmp_path: Path
) -> None:
    frozen = with_numbers(freeze_victim, python)
    compare(frozen, thaw, snapshot_of(frozen, tmp_path, layout), words)


@pytest.mark.parametrize(
    ("layout", "words"),
    [("lz4", "1,nopopulate,nohuge"), ("lazy", "learn"), ("hot", "proxy"), ("lazy", "park")],
)
def test_all_memory_is_the_same_with_each_way_round(
    freeze_victim: Freezer, thaw: Thawer, python: Path, layout: str, words: str, tmp_path: Path
) -> None:
    frozen = freeze_victim(python, "selftest", "held")
    compare(frozen, thaw, snapshot_of(frozen, tmp_path, layout), words)


def compare(frozen: Frozen, thaw: Thawer, snapshot: Path, words: str = "") -> None:
    """Every page and every mapping of the process that has been made, before it runs, with the images."""
    proxied = words in ("proxy", "park")
    with thaw(frozen, snapshot, words=f"hold,{words}") as thawed:
        thawed.until_held()
        assert len(os.listdir(f"/proc/{thawed.process.pid}/task")) == frozen.threads
        memory = Memory.of(thawed.process.pid)
        assert differences(frozen, memory, proxied=proxied) == []
        if not proxied:
            assert coverage_of_images(frozen) == coverage_of(memory)


def differences(frozen: Frozen, memory: Memory, *, proxied: bool) -> list[str]:
    """Bytes that differ from the images, but for thread ids and rseq's words; also files' own pages."""
    process = frozen.process
    allowed: set[int] = set()
    for thread in process.threads:
        allowed.update(range(thread.info.clear_tid_addr, thread.info.clear_tid_addr + 4))
        if thread.core.rseq_entry is not None:
            first = thread.core.rseq_entry.rseq_abi_pointer
            allowed.update(range(first, first + 32))
    found = []
    size = names.PAGE_SIZE
    pages = frozen.images / f"pages-{process.pagemap.pages_id}.img"
    with (
        criuimg.PageStore(process.pagemap, pages) as store,
        open(f"/proc/{memory.pid}/mem", "rb", 0) as live,
        TemporaryDirectory() as scratch,
    ):
        resolve = left.resolver(
            from_sandbox(frozen.spec), frozen.entries, process.mapped_paths(), Path(scratch)
        )
        contents = Contents(process, store, resolve)
        for vma in process.mm.vmas:
            skipped = r.AREA_VSYSCALL | r.AREA_VVAR | (r.AREA_VDSO if proxied else 0)
            if vma.status & skipped:
                continue
            for page in range(vma.start // size, vma.end // size):
                try:
                    got = os.pread(live.fileno(), size, page * size)
                except OSError:
                    continue  # behind the end of a mapped file
                want = contents.page(page)
                if got == want:
                    continue
                at = [page * size + i for i in range(size) if got[i] != want[i]]
                if not allowed.issuperset(at):
                    found.append(f"{page * size:x}: {len(at)} bytes, {vma}")
        contents.close()
    return found


def coverage_of_images(frozen: Frozen) -> list[list[object]]:
    letters = (("r", 1), ("w", 2), ("x", 4))
    return joined(
        (vma.start, vma.end, "".join(letter if vma.prot & bit else "-" for letter, bit in letters))
        for vma in frozen.process.mm.vmas
        if not vma.status & r.AREA_VSYSCALL
    )


def coverage_of(memory: Memory) -> list[list[object]]:
    """Without the restorer's own leftovers, which lie between two known addresses."""
    return joined(
        (start, end, permissions[:3])
        for start, end, permissions, name in memory.maps
        if name != "[vsyscall]" and not 0x6000_0000_0000 <= start < 0x6000_8000_0000
    )


def joined(spans: object) -> list[list[object]]:
    result: list[list[object]] = []
    for start, end, permissions in sorted(spans):  # type: ignore[call-overload]
        if result and result[-1][1] == start and result[-1][2] == permissions:
            result[-1][1] = end
        else:
            result.append([start, end, permissions])
    return result


@pytest.mark.parametrize("words", ["hold", "hold,1"])
def test_pages_that_will_be_written_to_are_copied_before_the_process_runs(
    words: str, freeze_victim: Freezer, thaw: Thawer, python: Path, tmp_path: Path
) -> None:
    """And hold what they held: proc(5), pagemap: bit 63 present, bit 61 of a file."""
    frozen = freeze_victim(python, "integrity")
    frozen.plan(tmp_path / "snapshot", "lazy", hot=hot_half(frozen))
    plan = (tmp_path / "snapshot" / names.NATIVE / "plan").read_bytes()
    touches = list(rows(plan, plan_layout.TOUCH))
    touched = [row for row in touches if row["write"]]
    assert len(touches) > len(touched) > 100
    assert touches[: len(touched)] == touched, "one that is only read maps neighbours that are written later"
    with thaw(frozen, tmp_path / "snapshot", words=words) as thawed:
        thawed.until_held()
        with Path(f"/proc/{thawed.process.pid}/pagemap").open("rb") as pagemap:
            for row in touched:
                pagemap.seek(row["start"] // 4096 * 8)
                for entry in struct.iter_unpack("<Q", pagemap.read(row["size"] // 4096 * 8)):
                    assert entry[0] >> 63 == 1 and not entry[0] >> 61 & 1


def test_little_of_the_restorer_stays(
    freeze_victim: Freezer, thaw: Thawer, python: Path, tmp_path: Path
) -> None:
    frozen = freeze_victim(python, "selftest")
    with thaw(frozen, snapshot_of(frozen, tmp_path, "lazy"), words="hold") as thawed:
        thawed.until_held()
        memory = Memory.of(thawed.process.pid)
    left = sum(
        end - start for start, end, _, _ in memory.maps if 0x6000_0000_0000 <= start < 0x6000_8000_0000
    )
    assert left <= 192 * 1024


@pytest.mark.parametrize("words", ["proxy", "park", "nommmap", "nopopulate,nohuge", "1", "cached", "copied"])
def test_the_interpreter_works_with_each_way_round(
    freeze_victim: Freezer, thaw: Thawer, python: Path, words: str, tmp_path: Path
) -> None:
    frozen = freeze_victim(python, "selftest")
    environ = {"VICTIM_NO_MM_MAP": "1"} if words == "nommmap" else {}
    with thaw(
        frozen, snapshot_of(frozen, tmp_path, "hot"), words=words, modules=("selftest",), environ=environ
    ) as thawed:
        assert problems(thawed) == {}


def test_the_interpreter_works_where_nothing_is_refused(
    freeze_victim: Freezer, thaw: Thawer, python: Path, tmp_path: Path
) -> None:
    """Without a filter the kernel takes restartable sequences again."""
    frozen = freeze_victim(python, "selftest")
    with thaw(frozen, snapshot_of(frozen, tmp_path, "hot"), modules=("selftest",), kind="criu") as thawed:
        assert problems(thawed) == {}


@pytest.mark.parametrize("deny", ["mm_map", "madv_populate", "madv_hugepage", "memfd", "mremap_vdso"])
def test_the_interpreter_works_where_the_sandbox_refuses(
    freeze_victim: Freezer, thaw: Thawer, python: Path, deny: str, tmp_path: Path
) -> None:
    frozen = freeze_victim(python, "selftest")
    environ = {"VICTIM_NO_MM_MAP": "1"} if deny == "mm_map" else {}
    with thaw(
        frozen, snapshot_of(frozen, tmp_path, "lz4"), modules=("selftest",), deny=(deny,), environ=environ
    ) as thawed:
        assert problems(thawed) == {}


def test_the_restorer_works_in_another_part_of_the_address_space(
    freeze_victim: Freezer, thaw: Thawer, python: Path, tmp_path: Path
) -> None:
    frozen = freeze_victim(python, "selftest")
    snapshot = snapshot_of(frozen, tmp_path, "lz4", area=0x3456_7000_0000)
    with thaw(frozen, snapshot, modules=("selftest",)) as thawed:
        assert problems(thawed) == {}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_where_the_restorer_is_linked_and_works_is_given_back(
    freeze_victim: Freezer, thaw: Thawer, python: Path, layout: str, tmp_path: Path
) -> None:
    frozen = freeze_victim(python, "crowded", "selftest")
    snapshot = snapshot_of(frozen, tmp_path, layout)
    header = plan_layout.HEADER.unpack((snapshot / names.NATIVE / "plan").read_bytes())
    assert header["area"] not in (plan_layout.AREA_DEFAULT, plan_layout.AREA_DEFAULT + (1 << 36))
    with thaw(frozen, snapshot, modules=("crowded", "selftest")) as thawed:
        assert problems(thawed) == {}


def test_a_large_environment_arrives_whole(
    freeze_victim: Freezer, thaw: Thawer, python: Path, tmp_path: Path
) -> None:
    frozen = freeze_victim(python)
    environ = {f"LARGE_{number}": "x" * 90_000 for number in range(4)}
    with thaw(frozen, snapshot_of(frozen, tmp_path, "lazy"), environ=environ) as thawed:
        assert thawed.answer()["context"]["engine"] == "native"


def test_the_telemetry_descriptor_gets_its_number(
    freeze_victim: Freezer, thaw: Thawer, python: Path, tmp_path: Path
) -> None:
    frozen = freeze_victim(python, "telemetry")
    read, write = os.pipe()
    with thaw(
        frozen,
        snapshot_of(frozen, tmp_path, "lazy"),
        modules=("telemetry",),
        environ={"_LAMBDA_TELEMETRY_LOG_FD": "9"},
        pass_fds={9: write},
    ) as thawed:
        os.close(write)
        answer = thawed.answer()
    assert answer["context"]["telemetry"] is True
    assert answer["results"] == {"telemetry.own_number_is_closed": None}
    assert os.read(read, 100) == b"telemetry"
    os.close(read)
