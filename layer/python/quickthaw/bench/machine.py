"""Where a bench ran, and how busy that machine was with other things.

Only what says something about the figures and names nobody: no host name, no
user, no path.
"""

from __future__ import annotations

import datetime
import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import quickthaw

_LOOK_S = 0.5  # how long the machine is watched before the first run


@dataclass(frozen=True, kw_only=True)
class Ticks:
    """CPU time of the whole machine since boot, in clock ticks (proc(5), /proc/stat)."""

    total: int
    idle: int
    stolen: int

    @classmethod
    def now(cls) -> Ticks:
        """Read the counters."""
        fields = [int(text) for text in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return cls(total=sum(fields), idle=fields[3] + fields[4], stolen=fields[7])

    def busy_since(self, before: Ticks) -> float:
        """Return the share (0 to 1) of all CPUs that was not idle."""
        total = self.total - before.total
        return 1 - (self.idle - before.idle) / total if total else 0.0

    def stolen_since(self, before: Ticks) -> float:
        """Return the share (0 to 1) that the hypervisor gave to others."""
        total = self.total - before.total
        return (self.stolen - before.stolen) / total if total else 0.0


def busy_now() -> float:
    """Watch the machine for half a second while we do nothing; return its busy share (0 to 1)."""
    before = Ticks.now()
    time.sleep(_LOOK_S)
    return Ticks.now().busy_since(before)


def describe() -> dict[str, Any]:
    """Return bench.json's ``machine``."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "arch": platform.machine(),
        "cpu": _cpu(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mb": memory >> 20,
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", platform.system()),
        "quickthaw": quickthaw.__version__,
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "CPU part")):  # x86, arm64
            return line.partition(":")[2].strip()
    return "unknown"
