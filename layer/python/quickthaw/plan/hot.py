"""The learned working set: pages that a first request touches, of the image and of libraries alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from quickthaw.errors import BadSnapshot


@dataclass(frozen=True)
class HotSet:
    """Page numbers (address // 4096); `written` is the part of `pages` that was written to."""

    pages: frozenset[int]
    written: frozenset[int] = frozenset()

    def __or__(self, other: HotSet) -> HotSet:
        return HotSet(self.pages | other.pages, self.written | other.written)

    def dumps(self) -> str:
        """As text: one run of pages a line, first page and count in hexadecimal, and w where written."""
        lines = [(*run, "") for run in runs(self.pages - self.written)]
        lines += [(*run, " w") for run in runs(self.written)]
        return "".join(f"{first:x} {count:x}{mark}\n" for first, count, mark in sorted(lines))


def runs(pages: Iterable[int]) -> list[tuple[int, int]]:
    """Runs of consecutive page numbers, as (first, count), ascending."""
    found: list[tuple[int, int]] = []
    for page in sorted(pages):
        if found and page == found[-1][0] + found[-1][1]:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((page, 1))
    return found


def read(path: Path) -> HotSet:
    """Read what `HotSet.dumps` wrote.

    Raises:
        BadSnapshot: the file cannot be read or parsed.
    """
    try:
        pages: set[int] = set()
        written: set[int] = set()
        for line in path.read_text().splitlines():
            first, count, *mark = line.split()
            run = range(int(first, 16), int(first, 16) + int(count, 16))
            pages.update(run)
            if mark == ["w"]:
                written.update(run)
    except (OSError, ValueError) as error:
        raise BadSnapshot(f"{path} is no hot set: {error}", hint="run quickthaw learn again") from error
    return HotSet(frozenset(pages), frozenset(written))
