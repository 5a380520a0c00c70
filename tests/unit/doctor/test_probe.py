"""A question cannot hurt who asks; what is found is said in words; only the layer's own files are needed."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from quickthaw.probe import calls, engines, kernel, machine, process, speed
from quickthaw.probe.finding import Finding, ask, refusal


def refuse() -> None:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSYS)


def hang() -> None:
    signal.pause()


def fall_silent() -> None:
    os._exit(0)


def stumble() -> None:
    raise ValueError("no such luck")


@pytest.mark.parametrize(
    ("question", "ok", "note"),
    [
        (lambda: None, True, None),
        (lambda: "with a remark", True, "with a remark"),
        (refuse, False, "EPERM: Operation not permitted"),
        (crash, False, "killed by SIGSYS"),
        (hang, False, "no answer within 1 s"),
        (fall_silent, False, "ended"),
        (stumble, False, "ValueError: no such luck"),
    ],
)
def test_whatever_a_question_does_is_an_answer(question: object, ok: bool, note: str | None) -> None:
    found = ask("name", "group", question, deadline_s=1.0)  # type: ignore[arg-type]
    assert found == Finding(name="name", group="group", ok=ok, note=note)
    with pytest.raises(ChildProcessError):  # nobody is left, nobody is a zombie
        os.waitpid(-1, os.WNOHANG)


def test_a_question_changes_nothing_in_the_process_that_asks() -> None:
    before = os.listdir("/proc/self/fd")
    list(calls.findings())
    assert os.listdir("/proc/self/fd") == before


def test_a_refusal_names_the_error_and_the_file() -> None:
    assert refusal(OSError(errno.ENOENT, "?", "/dev/shm")) == "/dev/shm: ENOENT: No such file or directory"


def test_both_architectures_know_the_same_calls() -> None:
    first, *others = kernel._NUMBERS.values()
    assert all(numbers.keys() == first.keys() for numbers in others)


def test_a_call_that_is_unknown_is_like_one_that_the_kernel_does_not_have() -> None:
    with pytest.raises(OSError, match="not implemented") as raised:
        kernel.call("time_travel")
    assert raised.value.errno == errno.ENOSYS


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (0, "none"),
        ((1 << 41) - 1, "all"),
        ((1 << 41) - 1 & ~(1 << 24), "all but sys_resource"),
        (1 << 40 | 1 << 21, "sys_admin checkpoint_restore"),
    ],
)
def test_capabilities_are_named(mask: int, words: str) -> None:
    assert process.capability_names(mask) == words


def test_capabilities_that_the_sandbox_knows_have_the_same_numbers() -> None:
    from quickthaw.sandbox.order import CAPABILITIES

    for name, number in CAPABILITIES.items():
        assert f"CAP_{process.CAPABILITIES[number].upper()}" == name


@pytest.mark.parametrize(
    ("flags", "level"),
    [
        ("fpu sse2", "x86-64-v1"),
        ("cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3", "x86-64-v2"),
        ("cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3 avx avx2 bmi1 bmi2 f16c fma abm movbe xsave", "x86-64-v3"),
        ("avx avx2 bmi1 bmi2 f16c fma abm movbe xsave", "x86-64-v1"),  # no level without the one below
    ],
)
def test_the_processors_level_is_the_highest_that_it_has_all_of(
    flags: str, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert machine._architecture(set(flags.split())) == level


def test_the_file_system_of_a_path_is_that_of_the_innermost_mount() -> None:
    assert machine.mount_kind("/proc/self/status") == "proc"
    assert machine.mount_kind("/processes") == machine.mount_kind("/")


def test_reads_are_measured_on_the_largest_file_of_a_directory(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "small").write_bytes(bytes(10))
    (tmp_path / "deep" / "large").write_bytes(bytes(3 << 20))
    assert speed.largest(tmp_path) == tmp_path / "deep" / "large"
    found = {finding.name: finding for finding in speed.findings(tmp_path)}
    assert all(isinstance(finding.value, float) and finding.value > 0 for finding in found.values())
    assert str(found["disk_read"].note).startswith(f"3.0 MiB of {tmp_path}/deep/large (")


def test_a_directory_without_files_is_no_measurement(tmp_path: Path) -> None:
    (found,) = [finding for finding in speed.findings(tmp_path) if finding.name == "disk_read"]
    assert (found.value, found.note) == (None, f"no file in {tmp_path} to read")


def findings(**changed: Finding) -> dict[str, Finding]:
    """An environment that allows everything, but for what is given."""
    found = {name: Finding(name=name, group="", ok=True) for name in [*calls.QUESTIONS, "criu_check"]}
    found["RLIMIT_NOFILE"] = Finding(name="RLIMIT_NOFILE", group="", value=1024)
    found["restorer"] = Finding(name="restorer", group="", ok=True)
    return found | changed


def test_native_is_chosen_where_its_restorer_runs() -> None:
    assert engines.verdict(findings()) == engines.Verdict(engine="native", reason=None, notes=())


@pytest.mark.parametrize(
    "name", ["PR_SET_MM_MAP", "mremap_vdso", "MADV_POPULATE_WRITE", "MADV_HUGEPAGE", "memfd_create"]
)
def test_what_native_can_do_without_is_noted(name: str) -> None:
    chosen = engines.verdict(findings(**{name: Finding(name=name, group="", ok=False)}))
    assert (chosen.engine, chosen.reason, len(chosen.notes)) == ("native", None, 1)


def test_too_few_descriptors_are_the_restorers_own_reason() -> None:
    chosen = engines.verdict(findings(RLIMIT_NOFILE=Finding(name="", group="", value=256)))
    assert str(chosen.reason).startswith("descriptor 802 is above the limit of 256 open files")


def test_a_restorer_that_cannot_be_run_says_why(tmp_path: Path) -> None:
    (tmp_path / "native").mkdir()
    (tmp_path / "native" / "thaw").write_text("#!/bin/sh\necho bad luck >&2\nexit 3\n")
    (tmp_path / "native" / "thaw").chmod(0o755)
    found = {finding.name: finding for finding in engines.findings(tmp_path)}
    assert found["restorer"].note == "the native restorer does not run: bad luck"
    assert found["criu_check"].note == f"there is no CRIU at {tmp_path}/criu/criu"


def test_without_a_layer_there_is_no_restorer() -> None:
    found = {finding.name: finding for finding in engines.findings(None)}
    assert (found["restorer"].ok, found["restorer"].note) == (
        False,
        "the native restorer is not in this layer",
    )


def test_the_probe_imports_only_what_the_layer_holds() -> None:
    code = (
        "import sys, json; before = set(sys.modules); import quickthaw.probe.survey;"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout)
    for name in loaded:
        first, *rest = name.split(".")
        if first == "quickthaw":
            assert not rest or rest[0] in ("names", "errors", "runtime", "snapshot", "probe"), name
        else:
            assert first in sys.stdlib_module_names, name
