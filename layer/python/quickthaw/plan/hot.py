"""The learned working set: pages that a first request touches, of the image and of libraries alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from quickthaw.errors import BadSnapshot


@dataclass(frozen=True)
class HotSet:
    """Page numbers (address // 4096)."""

    pages: frozenset[int]

    def __or__(self, other: HotSet) -> HotSet:
        return HotSet(self.pages | other.pages)

    def dumps(self) -> str:
        """As text: one run of pages a line, first page and count in hexadecimal."""
        return "".join(f"{first:x} {count:x}\n" for first, count in runs(self.pages))


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
        for line in path.read_text().splitlines():
            first, count = (int(word, 16) for word in line.split())
            pages.update(range(first, first + count))
    except (OSError, ValueError) as error:
        raise BadSnapshot(f"{path} is no hot set: {error}", hint="run quickthaw learn again") from error
    return HotSet(frozenset(pages))
