"""Our allow-list against the model that it must not exceed."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from quickthaw.errors import UsageError
from quickthaw.sandbox import seccomp
from quickthaw.sandbox.spec import DENIALS, SandboxSpec

MODEL = json.loads((Path(__file__).parents[2] / "data/sandbox/example-lambda-allowed.json").read_text())
NAMED_AS_REFUSED = (
    "ptrace", "clone3", "userfaultfd", "process_vm_readv", "process_vm_writev", "unshare", "setns",
    "mount", "umount2", "kcmp", "membarrier", "rseq", "statx", "shmat", "pidfd_open",
    "name_to_handle_at", "open_by_handle_at", "bpf", "perf_event_open", "io_uring_setup", "keyctl",
    "add_key", "request_key", "init_module", "finit_module", "kexec_load", "pivot_root",
    "process_madvise", "memfd_secret", "seccomp", "fallocate",
)  # fmt: skip


def test_everything_that_the_model_refuses_is_refused() -> None:
    assert seccomp.allowed_names() - set(MODEL["allowed"]) == {"clone"}, "clone is allowed by argument only"


def test_the_calls_that_the_issue_names_are_refused() -> None:
    assert seccomp.allowed_names().isdisjoint(NAMED_AS_REFUSED)


def test_the_model_itself_refuses_what_we_say_it_refuses() -> None:
    ours_alone = {"seccomp", "fallocate"}  # seen on Lambda, not in the model
    assert set(NAMED_AS_REFUSED) & set(MODEL["allowed"]) == ours_alone


def test_clone_is_refused_with_every_flag_of_the_models_mask() -> None:
    mask = 0
    for flag in seccomp.CLONE_NAMESPACES:
        mask |= flag
    assert mask & MODEL["clone"]["mask"] == MODEL["clone"]["mask"]


def test_personality_takes_no_value_that_the_model_refuses() -> None:
    assert set(seccomp.PERSONALITIES) <= set(MODEL["personality"])


def test_no_call_is_both_allowed_and_refused_for_fall_back() -> None:
    assert seccomp.allowed_names().isdisjoint(seccomp.FALL_BACK)


def test_every_allowed_name_is_a_system_call_of_some_architecture() -> None:
    pyseccomp: Any = pytest.importorskip("pyseccomp")
    strange = [
        name
        for name in seccomp.allowed_names()
        if pyseccomp.resolve_syscall(pyseccomp.system_arch(), name) == -1
    ]
    assert strange == []


def test_the_filter_ends_in_a_refusal_with_eperm() -> None:
    program = seccomp.filters(allow_list=True)[0]
    returned = {
        value for code, _, _, value in struct.iter_unpack("HBBI", program) if code == 0x06  # BPF_RET | BPF_K
    }  # fmt: skip
    assert returned == {0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38}, "allow, EPERM, ENOSYS and nothing else"


def test_a_filter_of_switches_alone_is_there_only_when_something_is_denied() -> None:
    assert seccomp.filters(allow_list=False) == []
    assert len(seccomp.filters(allow_list=False, deny=DENIALS)) == 1
    assert len(seccomp.filters(allow_list=True)) == 2


def test_an_unknown_switch_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing is known to deny as mm_mapp"):
        SandboxSpec(python=Path(os.__file__), deny=frozenset({"mm_mapp"}))
