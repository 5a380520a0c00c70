"""Who this process is, what it is permitted and what it is limited to: read from /proc/self, proc(5)."""

from __future__ import annotations

import os
import pwd
import resource
from collections.abc import Iterator

from quickthaw.probe.finding import Finding

# linux/capability.h, in the order of the numbers
_WORDS = """chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable
    net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot
    sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease
    audit_write audit_control setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read
    perfmon bpf checkpoint_restore"""
CAPABILITIES = _WORDS.split()

_SECCOMP_MODES = {"0": "none", "1": "strict", "2": "filter"}
_LIMITS = {"NOFILE": None, "NPROC": None, "AS": "bytes", "STACK": "bytes", "CORE": "bytes"}  # and their units


def findings() -> Iterator[Finding]:
    """User, capabilities, seccomp and limits."""
    status = _status()
    yield _fact("user", _user())
    for name, key in (("effective", "CapEff"), ("bounding", "CapBnd"), ("ambient", "CapAmb")):
        mask = status.get(key)
        yield _fact(f"capabilities_{name}", None if mask is None else capability_names(int(mask, 16)))
    switch = status.get("NoNewPrivs")
    yield _fact("no_new_privs", None if switch is None else "set" if switch == "1" else "not set")
    yield _fact("seccomp", _SECCOMP_MODES.get(status.get("Seccomp", "")), note=_filters(status))
    yield _fact("pid", os.getpid())
    for name, unit in _LIMITS.items():
        soft, hard = resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))
        note = None if soft == hard else f"may be raised to {_limit(hard)}"
        yield _fact(f"RLIMIT_{name}", _limit(soft), unit=unit, note=note)


def capability_names(mask: int) -> str:
    """A capability mask in words; what is missing is named where that is shorter."""
    held = [name for number, name in enumerate(CAPABILITIES) if mask >> number & 1]
    missing = [name for name in CAPABILITIES if name not in held]
    if not held:
        return "none"
    if not missing:
        return "all"
    return f"all but {' '.join(missing)}" if len(missing) < len(held) else " ".join(held)


def _status() -> dict[str, str]:
    with open("/proc/self/status") as file:
        return {key: value.strip() for key, _, value in (line.partition(":") for line in file)}


def _user() -> str:
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        name = "nameless"
    return f"{name}, uid {os.geteuid()}, gid {os.getegid()}"


def _filters(status: dict[str, str]) -> str | None:
    count = status.get("Seccomp_filters", "0")
    return None if count == "0" else f"{count} filters"


def _limit(value: int) -> int | str:
    return "unlimited" if value == resource.RLIM_INFINITY else value


def _fact(name: str, value: str | int | None, *, unit: str | None = None, note: str | None = None) -> Finding:
    return Finding(name=name, group="process", value=value, unit=unit, note=note)
