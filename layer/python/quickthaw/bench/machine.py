"""Where a bench ran, and how busy that machine was with other things.

Only what says something about the figures and names nobody: no host name, no
user, no path.
"""

from __future__ import annotations

import datetime
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import quickthaw
from quickthaw.sandbox import scratch

_LOOK_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Ticks:
    """CPU time of the whole machine since boot, in clock ticks (proc(5), /proc/stat)."""

    total: int
    idle: int
    stolen: int

    @classmethod
    def now(cls) -> Ticks:
        """Read the counters."""
        fields = [int(text) for text in Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]]
        return cls(total=sum(fields), idle=fields[3] + fields[4], stolen=fields[7])


class Neighbours:
    """How much of the machine others use, looked at between the runs, when we do nothing.

    During a run it cannot be told: a sandbox is killed with all that is in it,
    and what its processes used is added to nobody's account.
    """

    def __init__(self) -> None:
        self._first = Ticks.now()
        self._total = 0
        self._busy = 0

    def look(self) -> None:
        """Wait for five hundredths of a second and see what runs."""
        before = Ticks.now()
        time.sleep(_LOOK_S)
        after = Ticks.now()
        total = after.total - before.total
        self._total += total
        self._busy += total - (after.idle - before.idle)

    @property
    def used(self) -> float:
        """The share (0 to 1) of all CPUs that others used."""
        return self._busy / self._total if self._total else 0.0

    @property
    def stolen(self) -> float:
        """The share (0 to 1) that the hypervisor gave to other machines, runs included."""
        now = Ticks.now()
        total = now.total - self._first.total
        return (now.stolen - self._first.stolen) / total if total else 0.0


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
        "sandbox_tmp": scratch.kind(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", platform.system()),
        "quickthaw": quickthaw.__version__,
    }


def sandbox_tmp(described: Mapping[str, Any]) -> str:
    """The file system of the sandbox's /tmp; a record that does not say it is of the time of the tmpfs."""
    return str(described.get("sandbox_tmp", "tmpfs"))


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "CPU part")):  # x86, arm64
            return line.partition(":")[2].strip()
    return "unknown"
