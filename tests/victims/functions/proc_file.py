"""Open files of /proc: the machine's, and the process's own, which only CRIU gives back."""

import os
from typing import Any

SAME = ("own", "machine")
ENGINES = ("criu",)
DECLINED = r"descriptor \d+: /proc/\d+/status: after a thaw the process has another number"

OWN = open("/proc/self/status")  # noqa: SIM115 - stays open
MACHINE = open("/proc/meminfo")  # noqa: SIM115 - stays open


def handler(event: Any, context: Any) -> dict[str, Any]:
    OWN.seek(0)
    own = dict(line.split(":", 1) for line in OWN.read().splitlines())
    MACHINE.seek(0)
    return {"own": int(own["Pid"]) == os.getpid(), "machine": MACHINE.readline().split()[0]}
