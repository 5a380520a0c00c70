"""What /proc says about the processes of a sandbox, read from the host's side.

Everything is None or empty for a process that is gone: it may end while we look.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def status(pid: int) -> dict[str, str]:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return {}
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def inner_pid(pid: int) -> int:
    return int(status(pid).get("NSpid", str(pid)).split()[-1])


def parent(pid: int) -> int | None:
    value = status(pid).get("PPid")
    return None if value is None else int(value)


def namespace(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return None


def high_water(pid: int) -> int | None:
    """Peak resident bytes of one process; None for a zombie or when it is gone."""
    value = status(pid).get("VmHWM")
    return None if value is None else int(value.split()[0]) * 1024


def read_bytes(pid: int) -> int | None:
    """Bytes that one process, and its children that were waited for, made the disks read."""
    try:
        text = Path(f"/proc/{pid}/io").read_text()
    except OSError:
        return None
    return int(text.partition("\nread_bytes: ")[2].split()[0])


def descendants(pid: int) -> Iterator[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in map(int, children):
        yield child
        yield from descendants(child)
