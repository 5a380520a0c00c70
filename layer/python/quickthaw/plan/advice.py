"""Advice on memory that CRIU's images do not keep, read from the frozen process while it lives."""

from __future__ import annotations

from pathlib import Path


def wiped_on_fork(pid: int) -> tuple[tuple[int, int], ...]:
    """Address ranges [start, end) that the process asked to be zeroed in its children.

    Args:
        pid: of the process at the freeze point, as this process sees it.

    Raises:
        OSError: it has ended or may not be looked at.
    """
    found = []
    span = (0, 0)
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        head, *flags = line.split()
        if head == "VmFlags:":
            if "wf" in flags:
                found.append(span)
        elif "-" in head and not head.endswith(":"):
            start, _, end = head.partition("-")
            span = (int(start, 16), int(end, 16))
    return tuple(found)
