"""Which pages a thawed process has touched, read from its pagemap.

The process was thawed in the lazy layout with the restorer's switch ``learn``,
so that a fault maps only what was touched: the kernel otherwise maps 15 cached
neighbours as well.  Libraries, which other processes map too and which
therefore cannot be dropped from the page cache, are cut into VMAs of a page;
for ``pages.raw`` there are not enough VMAs (vm.max_map_count), but it is ours:
it is dropped before (`forget`) and read page by page.

The present and swap bits are readable without privileges (only page frame
numbers are not; Documentation/admin-guide/mm/pagemap.rst), so a process can
do the same with /proc/self.  Rejected: userfaultfd and clearing of referenced
bits, which are refused on Lambda.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from quickthaw.names import PAGE_SIZE
from quickthaw.plan.hot import HotSet

_ENTRY: Final = 8  # bytes for each page
_PRESENT_OR_SWAPPED: Final = 0xC0  # bits 63 and 62, in the last byte of a little-endian entry
_OF_A_FILE: Final = 0x20  # bit 61: not copied for writing yet


def forget(path: Path) -> None:
    """Ask the kernel to drop a file's cached pages; needs no privilege, and does nothing on a tmpfs."""
    with path.open("rb") as file:
        os.fsync(file.fileno())  # pages not yet written stay
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def pages(process: str | int, ranges: Iterable[tuple[int, int]]) -> HotSet:
    """Pages of [start, end) address ranges that are in memory.

    Args:
        process: a pid, or "self".
        ranges: the frozen process's own mappings; others are none of a plan's business.

    Raises:
        OSError: the process has ended or may not be looked at.
    """
    found: set[int] = set()
    written: set[int] = set()
    with Path(f"/proc/{process}/pagemap").open("rb", buffering=0) as pagemap:
        for start, end in ranges:
            pagemap.seek(start // PAGE_SIZE * _ENTRY)
            flags = pagemap.read((end - start) // PAGE_SIZE * _ENTRY)[_ENTRY - 1 :: _ENTRY]
            first = start // PAGE_SIZE
            touched = [(first + at, flag) for at, flag in enumerate(flags) if flag & _PRESENT_OR_SWAPPED]
            found.update(page for page, _ in touched)
            written.update(page for page, flag in touched if not flag & _OF_A_FILE)
    return HotSet(frozenset(found), frozenset(written))
