"""Whatever is wrong with a snapshot, the next thing starts, with the reason; never a wrong answer."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from quickthaw import names
from quickthaw.plan import layout
from quickthaw.plan.tables import resealed, rows
from quickthaw.sandbox.layout import layout as sandbox_layout
from quickthaw.sandbox.process import start
from quickthaw.sandbox.spec import Bind, SandboxSpec

from .conftest import Freezer, Frozen, Thawer, hot_half, read_until

pytestmark = [pytest.mark.criu, pytest.mark.sandbox]


@dataclass(frozen=True)
class Case:
    """A variant: the new contents of one file of native/."""

    file: str
    data: bytes
    label: str = ""


BATCH = 250  # thaws in a sandbox, within the deadline of its answer
Tryer = Callable[[list[Case]], list[str]]


@pytest.fixture
def victim(freeze_victim: Freezer, python: Path) -> Frozen:
    """Has every kind of record, and notices a wrong byte."""
    return freeze_victim(python, "selftest", "held", "integrity")


@pytest.fixture
def snapshot(victim: Frozen, tmp_path: Path) -> Path:
    """In the hot layout, which has every file and every kind of record."""
    out = tmp_path / "snapshot"
    victim.plan(out, "hot", hot=hot_half(victim))
    return out


@pytest.fixture
def try_all(victim: Frozen, snapshot: Path, restorer: Path, tmp_path: Path) -> Tryer:
    """Thaws every variant, many in one sandbox; what came of each."""

    def run(cases: list[Case]) -> list[str]:
        batches = (cases[at : at + BATCH] for at in range(0, len(cases), BATCH))
        return [outcome for batch in batches for outcome in run_batch(batch)]

    def run_batch(cases: list[Case]) -> list[str]:
        work = tmp_path / "cases"
        work.mkdir(exist_ok=True)
        index, blob = [], bytearray()
        for case in cases:
            index.append({"file": case.file, "data": len(blob), "size": len(case.data)})
            blob += case.data
        (work / "cases").write_text(json.dumps(index))
        (work / "cases.bin").write_bytes(blob)
        work.chmod(0o755)
        spec = SandboxSpec(
            python=victim.spec.python,
            task=victim.spec.task,
            layer=restorer,
            snapshot=snapshot,
            binds=(Bind(work, "/tmp/cases"),),
        )
        where = sandbox_layout(spec)
        read, write = os.pipe()
        argv = [
            where.python,
            "/var/task/many.py",
            "/tmp/cases/cases",
            "/opt/native/thaw",
            names.SNAPSHOT_PATH,
        ]
        environ = {
            "PATH": "/usr/bin:/bin",
            "LD_LIBRARY_PATH": where.lang_lib,
            "VICTIM_MODULES": "integrity",
            "QUICKTHAW_NATIVE": "copied",  # so that every block counts
        }
        with start(spec, argv, environ, stdout=write, stderr=write) as process:
            os.close(write)
            output = read_until(read, None).decode(errors="replace")
            os.close(read)
            assert process.wait(10) == 0, output
        found: list[str] = json.loads(output.splitlines()[-1])
        return found

    return run


def file(snapshot: Path, name: str) -> bytes:
    return (snapshot / names.NATIVE / name).read_bytes()


def flipped(data: bytes, at: int, bit: int = 0) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def test_the_unchanged_snapshot_answers(snapshot: Path, try_all: Tryer) -> None:
    assert try_all([Case("plan", file(snapshot, "plan"))]) == ["answered"]


def test_one_flipped_bit_in_any_field_of_the_plan_declines(snapshot: Path, try_all: Tryer) -> None:
    plan = file(snapshot, "plan")
    cases = [Case("plan", flipped(plan, at), label) for at, label in every_field(plan)]
    assert len(cases) > 150
    for case, outcome in zip(cases, try_all(cases), strict=True):
        assert outcome.startswith("declined: "), f"{case.label}: {outcome}"


BITS = ((0, 0), (0, 3), (0, 7), (1, 4), (1, 5), (2, 2), (3, 6))  # byte of the field, bit
# What no other part of a plan tells: where a mapping was, what it permits, and where the kernel writes CPU
# numbers to.  Such a plan is sound and of another process, which ends by a signal before it answers.
MAY_CRASH = ("plan_map[", "plan_protect[", ".rseq")


def test_a_wrong_field_with_a_right_checksum_never_gives_a_wrong_answer(
    snapshot: Path, try_all: Tryer
) -> None:
    """Every field, with the checksum made right again: what stands in the way are the checks."""
    plan = file(snapshot, "plan")
    cases = [
        Case("plan", resealed(flipped(plan, at + byte, bit)), f"{label}, byte {byte}, bit {bit}")
        for at, label in every_field(plan)
        for byte, bit in BITS
        if at + byte < len(plan)
    ]
    assert len(cases) > 1500
    outcomes = try_all(cases)
    for case, outcome in zip(cases, outcomes, strict=True):
        signalled = outcome.startswith("died: -")
        assert not outcome.startswith(("wrong", "hangs")), f"{case.label}: {outcome}"
        assert not signalled or any(field in case.label for field in MAY_CRASH), f"{case.label}: {outcome}"
        said = outcome.removeprefix("died: 1").strip()  # the process itself, by Python's traceback
        assert not outcome.startswith("died: ") or signalled or said, f"{case.label}: {outcome}"
    assert sum(outcome.startswith("declined: ") for outcome in outcomes) > len(cases) // 2


def every_field(plan: bytes) -> list[tuple[int, str]]:
    """Offset and name of each field of the header, and of the first and last row of each table."""
    header = layout.HEADER.unpack(plan)
    found = [(layout.HEADER.offset(name), f"plan_header.{name}") for name, _ in layout.HEADER.fields]
    for number, record in enumerate(layout.TABLES):
        start, count = header[f"tables[{number}].offset"], header[f"tables[{number}].count"]
        assert isinstance(start, int) and isinstance(count, int)
        for row in sorted({0, count - 1} if count else set()):
            for name, _ in record.fields:
                found.append(
                    (start + row * record.size + record.offset(name), f"{record.name}[{row}].{name}")
                )
    return found


def test_damaged_packed_pages_decline(snapshot: Path, try_all: Tryer) -> None:
    packed, plan = file(snapshot, "pages.lz4"), file(snapshot, "plan")
    places = [0, 8, 16]
    for block in rows(plan, layout.BLOCK):
        offset, size = block["offset"], block["packed"]
        assert isinstance(offset, int) and isinstance(size, int)
        places += [offset, offset + size // 2, offset + size - 1]
    places = (
        places[:3] + places[3 :: max(1, len(places) // 60)]
    )  # first, middle and last bytes of some blocks
    cases = [Case("pages.lz4", flipped(packed, at), str(at)) for at in places]
    for case, outcome in zip(cases, try_all(cases), strict=True):
        assert outcome.startswith("declined: "), f"{case.label}: {outcome}"


def test_cut_exchanged_and_missing_files_decline(
    victim: Frozen, snapshot: Path, try_all: Tryer, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    victim.plan(other, "lazy")
    cases = [
        Case(name, content, f"{name}: {what}")
        for name in ("plan", "pages.lz4", "pages.raw")
        for what, content in (
            ("empty", b""),
            ("cut", file(snapshot, name)[:-1]),
            ("half", file(snapshot, name)[: len(file(snapshot, name)) // 2]),
            ("longer", file(snapshot, name) + b"\0"),
            ("of another plan", file(other, name)),
            ("not ours", b"\x7fELF" + file(snapshot, name)[4:]),
        )
    ]
    for case, outcome in zip(cases, try_all(cases), strict=True):
        assert outcome.startswith("declined: "), f"{case.label}: {outcome}"


SLOW = settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # an example is a sandbox with many thaws
CHANGES = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8)


def changed(data: bytes, changes: list[tuple[float, int]]) -> bytes:
    found = bytearray(data)
    for where, value in changes:
        found[int(where * len(found))] = value
    return bytes(found)


@SLOW
@given(st.lists(CHANGES, min_size=20, max_size=40))
def test_damage_anywhere_in_a_plan_or_in_packed_pages_declines_or_changes_nothing(
    snapshot: Path, try_all: Tryer, damage: list[list[tuple[float, int]]]
) -> None:
    cases = [
        Case(name, changed(file(snapshot, name), changes), f"{name}: {changes}")
        for name, changes in zip(itertools.cycle(("plan", "pages.lz4")), damage)
    ]
    for case, outcome in zip(cases, try_all(cases), strict=True):
        assert outcome.startswith("declined: ") or outcome == "answered", f"{case.label}: {outcome}"


VALUES = st.one_of(st.sampled_from([0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1]), st.integers(0, 2**64 - 1))


@SLOW
@given(st.lists(st.tuples(st.integers(0, 1 << 20), VALUES), min_size=20, max_size=40))
def test_any_value_in_any_field_with_a_right_checksum_never_gives_a_wrong_answer(
    snapshot: Path, try_all: Tryer, chosen: list[tuple[int, int]]
) -> None:
    plan = file(snapshot, "plan")
    fields = list(every_field(plan))
    cases = []
    for number, value in chosen:
        at, label = fields[number % len(fields)]
        size = min(8, len(plan) - at)
        data = plan[:at] + value.to_bytes(8, "little")[:size] + plan[at + size :]
        cases.append(Case("plan", resealed(data), f"{label} = {value:#x}"))
    for case, outcome in zip(cases, try_all(cases), strict=True):
        assert not outcome.startswith(("wrong", "hangs")), f"{case.label}: {outcome}"


def test_a_changed_mapped_file_declines_by_name(
    freeze_victim: Freezer, thaw: Thawer, python: Path, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    library = site / "mapped.bin"
    library.write_bytes(bytes(range(256)) * 64)
    (site / "maps_a_file.py").write_text(
        "import mmap\nfile = open('/tmp/site/mapped.bin', 'rb')\n"
        "data = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)\nfile.close()\n"
        "def check():\n    yield 'data', None if data[255] == 255 else 'wrong'\n"
    )
    for path in (tmp_path, site):
        path.chmod(0o755)
    frozen = freeze_victim(python, "maps_a_file", site=site)
    snapshot = tmp_path / "snapshot"
    frozen.plan(snapshot, "lazy")

    def outcome() -> str | None:
        with thaw(frozen, snapshot, modules=("maps_a_file",)) as thawed:
            return thawed.declined()

    assert outcome() is None
    os.utime(library, ns=(1, 1))
    assert outcome() is None, "another time alone is not another file"
    content = bytearray(library.read_bytes())
    content[0] ^= 1
    library.write_bytes(content)
    assert outcome() == "/tmp/site/mapped.bin is not the file that was mapped when the function was frozen"
    library.write_bytes(content + b"x")
    assert outcome() == "/tmp/site/mapped.bin has 16385 bytes, 16384 when it was frozen"
    library.unlink()
    assert outcome() == "cannot make /tmp/site/mapped.bin again: no such file"
    os.mkfifo(library)
    assert outcome() == "/tmp/site/mapped.bin is a file of another kind than it was"


@pytest.mark.parametrize(
    ("context", "limit_s"),
    [({}, 5), ({"cold_init_s": 0.3}, 1), ({"cold_init_s": 2.5}, 2.5), ({"cold_init_s": 7.0}, 3)],
)
def test_a_thaw_may_take_what_the_cold_start_takes_that_it_saves(
    victim: Frozen, context: dict[str, float], limit_s: float, tmp_path: Path
) -> None:
    victim.plan(tmp_path, "lazy", context=context)
    assert layout.HEADER.unpack(file(tmp_path, "plan"))["limit_ns"] == limit_s * 1e9


def test_a_thaw_has_the_time_that_the_plan_gives_it(victim: Frozen, snapshot: Path, thaw: Thawer) -> None:
    plan, at = file(snapshot, "plan"), layout.HEADER.offset("limit_ns")

    def outcome(limit_ns: int, **environ: str) -> str | None:
        (snapshot / names.NATIVE / "plan").write_bytes(
            resealed(plan[:at] + limit_ns.to_bytes(8, "little") + plan[at + 8 :])
        )
        with thaw(victim, snapshot, modules=("integrity",), environ=environ) as thawed:
            return thawed.declined()

    said = outcome(1)
    assert said == "the thaw took longer than 0 ms (at file 0)"
    assert outcome(1, QUICKTHAW_WATCHDOG="60") is None, "who sets the variable has decided"
    assert outcome(600 * 10**9) is None
    for impossible in (0, 600 * 10**9 + 1):
        assert outcome(impossible) == "the plan is damaged: the time that a thaw may take"


def test_a_thread_that_was_stopped_in_another_kernels_vdso_declines(
    victim: Frozen, snapshot: Path, thaw: Thawer
) -> None:
    """It would go on in code that is a jump by now, or that reads data which are not there."""
    plan = file(snapshot, "plan")
    header, last = layout.HEADER.unpack(plan), rows(plan, layout.THREAD)[-1]
    at = last["frame.offset"] + 176  # its instruction pointer, see plan/frame.py
    inside = header["vdso_start"] + header["vdso_size"] // 2  # type: ignore[operator]
    changed = resealed(plan[:at] + inside.to_bytes(8, "little") + plan[at + 8 :])
    (snapshot / names.NATIVE / "plan").write_bytes(changed)
    with thaw(victim, snapshot, words="proxy", modules=("integrity",)) as thawed:
        reason = thawed.declined()
    assert reason == f"thread {last['tid']} was stopped in the vdso, and this kernel has another one"


@pytest.mark.parametrize("which", [0, -1])
def test_an_rseq_area_that_is_another_threads_declines(
    victim: Frozen, snapshot: Path, thaw: Thawer, which: int
) -> None:
    """The kernel would write CPU numbers into something else, whenever it takes the processor away."""
    plan = file(snapshot, "plan")
    number, header = layout.TABLES.index(layout.THREAD), layout.HEADER.unpack(plan)
    row = which % int(header[f"tables[{number}].count"])
    start = int(header[f"tables[{number}].offset"])
    changed = flipped(plan, start + row * layout.THREAD.size + layout.THREAD.offset("rseq"), 7)
    (snapshot / names.NATIVE / "plan").write_bytes(resealed(changed))
    with thaw(victim, snapshot, modules=("integrity",)) as thawed:
        reason = thawed.declined()
    assert reason is not None and re.fullmatch(r"the plan is damaged: thread \d+ has no rseq area", reason)


def test_a_missing_cpu_feature_declines(
    freeze_victim: Freezer, thaw: Thawer, python: Path, tmp_path: Path
) -> None:
    frozen = freeze_victim(python, "integrity")
    frozen.plan(tmp_path, "lazy", cpu_flags=["avx2", "fma4"])  # no processor has FMA4 any more
    with thaw(frozen, tmp_path) as thawed:
        reason = thawed.declined()
    assert (
        reason == "this CPU lacks features that the function was frozen with: cpuid 80000001.ecx, bits 10000"
    )


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({"QUICKTHAW_ENGINE": "off"}, ""),
        ({"QUICKTHAW_ENGINE": "criu"}, ""),
        ({"QUICKTHAW_DECLINED": "before"}, "before"),
        (
            {"AWS_LAMBDA_MAX_CONCURRENCY": "4"},
            "AWS_LAMBDA_MAX_CONCURRENCY wants several processes; a snapshot is one",
        ),
    ],
)
def test_what_is_not_wanted_is_not_tried(
    victim: Frozen, snapshot: Path, thaw: Thawer, environ: dict[str, str], reason: str
) -> None:
    with thaw(victim, snapshot, environ=environ) as thawed:
        assert thawed.declined() == reason


def test_no_snapshot_declines(victim: Frozen, thaw: Thawer, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir(mode=0o755)
    with thaw(victim, empty) as thawed:
        assert thawed.declined() == "no native plan at /opt/snapshot/native/plan: no such file"


def test_the_fallback_gets_its_arguments_environment_and_signals(restorer: Path, tmp_path: Path) -> None:
    command = [
        str(restorer / "native" / "thaw"),
        str(tmp_path),
        "sh",
        "-c",
        'printf "%s|" "$0" "$@" "$KEPT"; grep Sig[^Q] /proc/self/status; ls /proc/self/fd | wc -l',
        "zero",
        "a b",
        "",
    ]
    environ = {"PATH": "/nowhere:/usr/bin:/bin", "KEPT": "as it was"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    plain = subprocess.run(command[2:], env=environ, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.stdout == plain.stdout
    assert done.stdout.startswith("zero|a b||as it was|")
    assert (done.returncode, done.stderr) == (0, "")


def test_as_exec_wrapper_it_starts_the_python_bootstrap(restorer: Path, python: Path, tmp_path: Path) -> None:
    wrapper = tmp_path / "bin" / "bootstrap"
    wrapper.parent.mkdir()
    shutil.copy(restorer / "native" / "thaw", wrapper)
    environ = {"PATH": "/usr/bin:/bin", "QUICKTHAW_SNAPSHOT": str(tmp_path / "none")}
    reason = f"no native plan at {tmp_path}/none/native/plan: no such file"
    alone = subprocess.run([wrapper, "echo", "hello"], env=environ, capture_output=True, text=True)
    assert alone.stdout == "hello\n"
    assert json.loads(alone.stderr)["reason"] == reason
    boot = tmp_path / "python" / "quickthaw" / "runtime" / "boot.py"
    boot.parent.mkdir(parents=True)
    boot.write_text("import os, sys\nprint(os.environ['QUICKTHAW_DECLINED'], sys.argv[1:])\n")
    runtime = [str(python.parent / "python3"), "-m", "awslambdaric", "app.handler"]
    beside = subprocess.run([wrapper, *runtime], env=environ, capture_output=True, text=True)
    assert beside.stdout == f"{reason} {runtime}\n"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=st.binary(max_size=4096))
def test_any_bytes_as_a_plan_decline(restorer: Path, tmp_path: Path, plan: bytes) -> None:
    native = tmp_path / "native"
    native.mkdir(exist_ok=True)
    (native / "plan").write_bytes(plan)
    done = subprocess.run(
        [restorer / "native" / "thaw", tmp_path, "/bin/sh", "-c", 'echo "$QUICKTHAW_DECLINED"'],
        capture_output=True,
        text=True,
        env={},
    )
    assert done.returncode == 0
    assert "is no plan" in done.stdout or "damaged" in done.stdout or "version" in done.stdout


@pytest.mark.parametrize("layout_name", ["lz4", "lazy", "hot"])
def test_thaw_after_thaw_answers(
    freeze_victim: Freezer, python: Path, snapshot: Path, try_all: Tryer, layout_name: str
) -> None:
    """With threads; each thaw starts from another address space. SOAK raises the number."""
    frozen = freeze_victim(python, "selftest", "held", "integrity")
    frozen.plan(snapshot, layout_name, hot=hot_half(frozen) if layout_name == "hot" else None)
    count = int(os.environ.get("SOAK", "60"))
    assert Path("/proc/sys/kernel/randomize_va_space").read_text() == "2\n"
    assert set(try_all([Case("plan", file(snapshot, "plan"))] * count)) == {"answered"}
