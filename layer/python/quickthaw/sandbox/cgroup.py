"""Control groups: CPU share, memory limit and disk throttle, on either hierarchy version.

Used only when a spec asks for a limit, because a group costs milliseconds and
a memory group is charged for the page cache that it leaves behind.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from pathlib import Path

from quickthaw.errors import Unavailable
from quickthaw.sandbox.spec import SandboxSpec

MB_PER_VCPU = 1769  # AWS: "at 1,769 MB, a function has the equivalent of one vCPU"
PERIOD_US = 20_000  # of the CPU throttle; Lambda's own period as seen by its users

_counter = itertools.count()


class Limits:
    """The control groups of one sandbox; `attach` a process, `remove` when all have ended."""

    def __init__(self, groups: list[Path], later: list[tuple[Path, str]]) -> None:
        self._groups = groups
        self._later = later

    def attach(self, pid: int) -> None:
        """Move a process (and what it will start) into the groups."""
        for group in self._groups:
            _write(group / "cgroup.procs", str(pid))

    def end_burst(self) -> None:
        """Throttle the CPU from now on; Lambda leaves it free while a function initialises."""
        for file, value in self._later:
            _write(file, value)
        self._later = []

    def remove(self) -> None:
        """Remove the groups; harmless when called twice."""
        for group in self._groups:
            if group.exists():
                group.rmdir()
        self._groups = []


def limits(spec: SandboxSpec) -> Limits | None:
    """Make the control groups that a spec asks for; None when it asks for none.

    Raises:
        Unavailable: The hierarchy is not mounted, not writable, or lacks the controller.
    """
    wanted: dict[str, list[tuple[str, str]]] = {}
    later: tuple[str, str] | None = None
    v2 = (Path("/sys/fs/cgroup") / "cgroup.controllers").exists()
    if spec.cpu_limit:
        quota = max(1000, PERIOD_US * spec.memory_mb // MB_PER_VCPU)
        wanted["cpu"] = [] if v2 else [("cpu.cfs_period_us", str(PERIOD_US))]
        later = ("cpu.max", f"{quota} {PERIOD_US}") if v2 else ("cpu.cfs_quota_us", str(quota))
    if spec.memory_limit:
        size = str(spec.memory_mb << 20)
        wanted["memory"] = [("memory.max" if v2 else "memory.limit_in_bytes", size)]
    if spec.disk_bytes_per_s is not None:
        rate = spec.disk_bytes_per_s
        paths = (spec.python, spec.task, spec.layer, spec.snapshot, spec.runtime, Path("/usr"))
        devices = sorted({disk(path) for path in paths if path is not None})
        wanted["io" if v2 else "blkio"] = [
            ("io.max", f"{device} rbps={rate}")
            if v2
            else ("blkio.throttle.read_bps_device", f"{device} {rate}")
            for device in devices
        ]
    if not wanted:
        return None
    name = f"quickthaw-{os.getpid()}-{next(_counter)}"
    made = _make_v2(name, wanted) if v2 else _make_v1(name, wanted)
    # Of all these files only the CPU's begins with that name, so its group is found by it.
    pending = (
        []
        if later is None
        else [(group / later[0], later[1]) for group in made if (group / later[0]).exists()]
    )
    return Limits(made, pending)


def disk(path: Path) -> str:
    """The whole disk that holds a path, as "major:minor"; throttles know no partitions.

    Raises:
        Unavailable: The file system has no block device of its own (overlay, tmpfs, network).
    """
    number = os.stat(path).st_dev
    device = Path("/sys/dev/block") / f"{os.major(number)}:{os.minor(number)}"
    if not device.exists():
        raise Unavailable(
            f"{path} is on no block device, its reads cannot be throttled",
            hint="put it on a disk, or leave --disk",
        )
    if (device / "partition").exists():
        return (device.resolve().parent / "dev").read_text().strip()
    return device.name


def _make_v1(name: str, wanted: dict[str, list[tuple[str, str]]]) -> list[Path]:
    groups: list[Path] = []
    for controller, values in wanted.items():
        group = Path("/sys/fs/cgroup", controller, _own_group(controller).lstrip("/"), name)
        groups.append(group)
        _create(group, values, undo=groups)
    return groups


def _make_v2(name: str, wanted: dict[str, list[tuple[str, str]]]) -> list[Path]:
    root = Path("/sys/fs/cgroup")
    group = root / name
    for controller in wanted:
        _write(root / "cgroup.subtree_control", f"+{controller}")
    _create(group, itertools.chain.from_iterable(wanted.values()), undo=[group])
    return [group]


def _create(group: Path, values: Iterable[tuple[str, str]], *, undo: list[Path]) -> None:
    try:
        try:
            group.mkdir()
        except OSError as error:
            raise _refused(group, error) from error
        for file, value in values:
            _write(group / file, value)
    except Unavailable:
        Limits(undo, []).remove()
        raise


def _write(file: Path, value: str) -> None:
    try:
        file.write_text(value)
    except OSError as error:
        raise _refused(file, error) from error


def _refused(path: Path, error: OSError) -> Unavailable:
    return Unavailable(
        f"control groups cannot be used here: {path}: {error.strerror}",
        hint="run as root with a writable /sys/fs/cgroup, or without limits",
    )


def _own_group(controller: str) -> str:
    """Our own group of a v1 controller: limits above us must keep holding."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, names, group = line.split(":", 2)
        if controller in names.split(","):
            return group
    raise Unavailable(f"this kernel has no control group named {controller}", hint="run without limits")
