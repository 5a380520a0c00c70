"""The same questions outside, inside the sandbox, and by the function that is deployed to Lambda."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from quickthaw.doctor import examine
from quickthaw.emulator.run import EnvironmentRun, FunctionSpec, run_environment
from quickthaw.probe.calls import QUESTIONS
from quickthaw.runtime import checks
from quickthaw.sandbox import scratch
from quickthaw.sandbox.spec import DENIALS

ROOT = Path(__file__).parents[3]
PROBE = ROOT / "handler" / "probe"

# Of the questions; everything else is allowed.
REFUSED_INSIDE = {
    "ptrace": "EPERM", "userfaultfd": "EPERM", "user_namespaces": "EPERM", "process_vm_readv": "EPERM",
    "kcmp": "EPERM", "io_uring": "EPERM", "fallocate": "EPERM", "nested_seccomp": "EPERM",
    "clone3": "ENOSYS", "clone3_set_tid": "ENOSYS", "membarrier": "ENOSYS", "rseq": "ENOSYS",
    "pidfd_open": "ENOSYS", "statx": "ENOSYS",
}  # fmt: skip
# What each switch of the sandbox shows as, and the word that the verdict has for it.
SWITCHES = {
    "mm_map": ({"PR_SET_MM_MAP_SIZE": "EPERM", "PR_SET_MM_MAP": "EPERM"}, "PR_SET_MM_MAP"),
    "madv_populate": ({"MADV_POPULATE_WRITE": "EINVAL"}, "MADV_POPULATE_WRITE"),
    "madv_hugepage": ({"MADV_HUGEPAGE": "EINVAL"}, "huge pages"),
    "memfd": ({"memfd_create": "EPERM"}, "memfd_create"),
    "mremap_vdso": ({"mremap_vdso": "EPERM"}, "vdso"),
    "lease": ({"F_SETLEASE": "EACCES"}, None),
}

pytestmark = pytest.mark.sandbox


def refused(document: dict[str, Any]) -> dict[str, str]:
    """Questions that were answered with no, and the name of the error."""
    findings = {name: document["findings"][name] for name in QUESTIONS}
    return {
        name: str(found["note"]).rpartition(": ")[0].rpartition(": ")[2] or str(found["note"])
        for name, found in findings.items()
        if not found["ok"]
    }


@pytest.fixture(scope="module")
def inside(needs_root: None, python: Path, layer: Path) -> dict[str, Any]:
    return examine.inside(python=python, layer=layer).document


def test_outside_root_may_do_what_criu_needs(needs_root: None, python: Path, layer: Path) -> None:
    document = examine.here(python=python, layer=layer).document
    findings = document["findings"]
    assert findings["user"]["value"] == "root, uid 0, gid 0"
    assert findings["pid"]["value"] != os.getpid()
    assert not {"ptrace", "clone3", "clone3_set_tid", "PR_SET_MM_MAP", "kcmp", "memfd_create"} & set(
        refused(document)
    )
    assert findings["criu_check"]["ok"], findings["criu_check"]
    assert findings["criu_version"]["value"].startswith("4.")
    assert document["engine"] == {"engine": "native", "reason": None, "notes": []}


def test_inside_exactly_what_the_sandbox_refuses_shows_as_refused(inside: dict[str, Any]) -> None:
    assert refused(inside) == REFUSED_INSIDE


def test_inside_it_is_lambdas_user_without_any_privilege(inside: dict[str, Any]) -> None:
    findings = inside["findings"]
    assert findings["user"]["value"] == "sbx_user1051, uid 993, gid 990"
    for kind in ("effective", "bounding", "ambient"):
        assert findings[f"capabilities_{kind}"]["value"] == "none"
    assert findings["no_new_privs"]["value"] == "set"
    assert findings["seccomp"]["value"] == "filter"
    assert findings["RLIMIT_NOFILE"]["value"] == 1024


def test_inside_only_tmp_can_be_written(inside: dict[str, Any]) -> None:
    findings = inside["findings"]
    assert not findings["file_system /dev/shm"]["ok"]
    assert 512 << 20 <= findings["file_system /tmp"]["value"] < 530 << 20
    assert f"{scratch.kind()}, writable" in findings["file_system /tmp"]["note"]
    for place in ("/", "/opt", "/var/task"):
        assert "read-only" in findings[f"file_system {place}"]["note"]


def test_inside_the_native_engine_would_be_used_and_criu_could_not(inside: dict[str, Any]) -> None:
    assert inside["engine"] == {"engine": "native", "reason": None, "notes": []}
    assert inside["findings"]["restorer"]["ok"]
    assert not inside["findings"]["criu_check"]["ok"]
    assert "CAP_CHECKPOINT_RESTORE" in inside["findings"]["criu_check"]["note"]


def test_speeds_are_measured_inside_as_well(inside: dict[str, Any]) -> None:
    for name in ("page_fault", "memory_copy", "disk_read"):
        assert inside["findings"][name]["value"] > 0, inside["findings"][name]


def test_every_switch_of_the_sandbox_has_a_line() -> None:
    assert set(SWITCHES) == DENIALS


@pytest.mark.parametrize("switch", sorted(SWITCHES))
def test_a_switch_shows_up_as_the_one_thing_it_denies(
    needs_root: None, python: Path, layer: Path, switch: str
) -> None:
    document = examine.inside(python=python, layer=layer, deny=frozenset({switch})).document
    denied, word = SWITCHES[switch]
    assert refused(document) == REFUSED_INSIDE | denied
    assert document["engine"]["engine"] == "native"
    notes = document["engine"]["notes"]
    assert notes == [] if word is None else len(notes) == 1 and word in notes[0]


def test_without_restorer_and_privilege_it_would_be_a_cold_start(needs_root: None, python: Path) -> None:
    document = examine.inside(python=python, layer=None).document
    assert document["engine"] == {
        "engine": "cold",
        "reason": f"the native restorer is not in this layer; {checks.CRIU_NOT_PERMITTED}",
        "notes": [],
    }


def test_without_restorer_root_would_use_criu(
    needs_root: None, python: Path, layer: Path, tmp_path: Path
) -> None:
    (tmp_path / "criu").symlink_to(layer / "criu")
    engine = examine.here(python=python, layer=tmp_path).document["engine"]
    assert (engine["engine"], engine["reason"]) == ("criu", "the native restorer is not in this layer")


def probe(python: Path, layer: Path | None, event: object = None) -> EnvironmentRun:
    spec = FunctionSpec(task=PROBE, handler="app.handler", python=python, layer=layer)
    return run_environment(spec, [json.dumps(event or {}).encode()])


def test_the_probe_function_answers_what_doctor_finds_inside(
    each_python: Path, layer: Path, inside: dict[str, Any]
) -> None:
    run = probe(each_python, layer)
    assert run.ok, run.log
    (answer,) = run.answers
    assert isinstance(answer, dict)
    assert answer.keys() == inside.keys()
    assert list(answer["findings"]) == list(inside["findings"])
    assert refused(answer) == REFUSED_INSIDE
    assert answer["engine"] == inside["engine"]
    assert json.dumps(answer) in run.log


def test_the_probe_function_reads_from_where_the_event_says(
    needs_root: None, python: Path, layer: Path
) -> None:
    (answer,) = probe(python, layer, {"disk": "/var/task"}).answers
    assert isinstance(answer, dict)
    assert "/var/task/" in answer["findings"]["disk_read"]["note"]


def test_the_probe_function_without_the_layer_says_what_is_missing(needs_root: None, python: Path) -> None:
    (error,) = probe(python, None).errors
    assert error["errorType"] == "NoLayer"
    assert "add the quickthaw layer" in str(error["errorMessage"])


def doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = shutil.which("quickthaw", path=str(Path(sys.executable).parent))
    assert command is not None
    environ = {**os.environ, "COLUMNS": "120"}
    return subprocess.run(
        [command, "doctor", *arguments], capture_output=True, text=True, env=environ, check=False
    )


def test_the_command_prints_both_places_side_by_side(needs_root: None) -> None:
    done = doctor("--sandbox", "lambda")
    assert done.returncode == 0, done.stderr
    (line,) = [line.split() for line in done.stdout.splitlines() if line.split()[:1] == ["ptrace"]]
    assert line[:4] == ["ptrace", "yes", "no", "EPERM"]
    assert "Lambda-like sandbox: QUICKTHAW_ENGINE=auto comes to native" in done.stdout


def test_the_command_prints_the_same_as_json(inside: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "sample").write_bytes(bytes(1 << 20))
    tmp_path.chmod(0o755)
    done = doctor("--sandbox", "lambda", "--json", "--disk", str(tmp_path / "sample"))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.keys() == {"here", "lambda"}
    assert found["lambda"].keys() == found["here"].keys() == inside.keys()
    assert refused(found["lambda"]) == REFUSED_INSIDE
    for place in found.values():
        assert place["findings"]["disk_read"]["note"].startswith("1.0 MiB of ")


@pytest.mark.parametrize("arguments", [("--sandbox", "docker"), ("--disk", "/nowhere")])
def test_what_cannot_be_meant_is_refused(arguments: tuple[str, ...]) -> None:
    assert doctor(*arguments).returncode == 2
