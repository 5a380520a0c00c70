"""The machine and the file systems, as far as they can be seen from here.

Inside of Lambda there is no /sys and hardly a control group; what cannot be
read is None, never a guess.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path

from quickthaw.probe.finding import Finding, refusal

_LEVELS = (  # what each x86-64 level adds, in the kernel's names (psABI, section 3.1.1)
    {"cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"},
    {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"},
    {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
)
_NO_GROUP = "no control group to be seen"
_PLACES = ("/", "/tmp", "/dev/shm", "/opt", "/var/task")


def findings() -> Iterator[Finding]:
    """Kernel, processor, memory, file systems."""
    yield _fact("kernel", platform.release())
    yield _fact("system", _system())
    yield _fact("libc", " ".join(platform.libc_ver()) or None)
    yield _fact("python", f"{platform.python_version()} ({platform.python_implementation()})")
    yield from _processor()
    yield from _memory()
    for place in _PLACES:
        yield _file_system(place)


def _processor() -> Iterator[Finding]:
    about = _cpuinfo()
    yield _fact("cpu", about.get("model name") or about.get("CPU part"))
    yield _fact("architecture", _architecture(set(about.get("flags", "").split())))
    yield _fact("cpus", os.cpu_count(), note=f"{len(os.sched_getaffinity(0))} of them for this process")
    quota = _cpu_quota()
    yield _fact("cpu_share", quota, note=None if quota is not None else _NO_GROUP)


def _memory() -> Iterator[Finding]:
    info = {key: value.split() for key, _, value in (line.partition(":") for line in _lines("/proc/meminfo"))}
    for name, key in (("memory", "MemTotal"), ("memory_available", "MemAvailable")):
        yield _fact(name, int(info[key][0]) * 1024 if key in info else None, unit="bytes")
    limit = _memory_limit()
    yield _fact("memory_limit", limit, unit="bytes", note=None if limit is not None else _NO_GROUP)
    setting = _text("/sys/kernel/mm/transparent_hugepage/enabled")
    yield _fact("huge_pages", setting and setting.partition("[")[2].partition("]")[0])
    for name in ("vm/max_map_count", "vm/overcommit_memory", "kernel/randomize_va_space"):
        text = _text(f"/proc/sys/{name}")
        yield _fact(name.partition("/")[2], int(text) if text else None)


def _file_system(path: str) -> Finding:
    name = f"file_system {path}"
    try:
        about = os.statvfs(path)
    except OSError as error:
        return Finding(name=name, group="file systems", ok=False, note=refusal(error))
    kind = mount_kind(path)
    size = about.f_blocks * about.f_frsize
    free = about.f_bavail * about.f_frsize
    access = (
        "read-only"
        if about.f_flag & os.ST_RDONLY
        else "writable"
        if os.access(path, os.W_OK | os.X_OK)
        else "not ours to write"
    )
    note = f"{kind}, {access}, {free >> 20} MiB free"
    return Finding(
        name=name, group="file systems", ok=os.access(path, os.R_OK), value=size, unit="bytes", note=note
    )


def mount_kind(path: str) -> str:
    """The type of the file system that holds a path, from the longest mount point above it."""
    real = os.path.realpath(path)
    best, kind = -1, "unknown"
    for line in _lines("/proc/self/mounts"):
        _, point, found = line.split()[:3]
        inside = point == "/" or real == point or real.startswith(point + "/")
        if inside and len(point) >= best:  # of two on one point the later one is seen
            best, kind = len(point), found
    return kind


def _architecture(flags: set[str]) -> str:
    machine = platform.machine()
    if machine != "x86_64":
        return machine
    level = 1
    for needed in _LEVELS:
        if not needed <= flags:
            break
        level += 1
    return f"x86-64-v{level}"


def _cpuinfo() -> dict[str, str]:
    """The first CPU's lines."""
    found: dict[str, str] = {}
    for line in _lines("/proc/cpuinfo"):
        if not line.strip():
            break
        key, _, value = line.partition(":")
        found[key.strip()] = value.strip()
    return found


def _cpu_quota() -> str | float | None:
    """CPUs' worth of time that the control group allows."""
    both = _text("/sys/fs/cgroup/cpu.max")
    if both:
        quota, period = both.split()
    else:
        quota, period = (_text(f"/sys/fs/cgroup/cpu/cpu.cfs_{word}_us") or "" for word in ("quota", "period"))
    if quota in ("max", "-1"):
        return "unlimited"
    return round(int(quota) / int(period), 3) if quota and period else None


def _memory_limit() -> int | str | None:
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        text = _text(f"/sys/fs/cgroup/{name}")
        if text:
            return "unlimited" if text == "max" or int(text) >= 1 << 60 else int(text)
    return None


def _system() -> str | None:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        return None


def _lines(path: str) -> list[str]:
    text = _text(path)
    return text.splitlines() if text else []


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None


def _fact(
    name: str, value: str | int | float | None, *, unit: str | None = None, note: str | None = None
) -> Finding:
    return Finding(name=name, group="machine", value=value, unit=unit, note=note)
