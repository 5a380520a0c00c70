"""What is searched and what was found.

Apart from the search, which imports NumPy: 0.1 s that no other command waits for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One address space, or one file.

    Attributes:
        space: a hit at one address of one space counts once, in however many streams it is found.
        pieces: address and bytes, ascending; those that adjoin are one text.
        place: names what lies at an address.
    """

    space: str
    pieces: Iterable[tuple[int, bytes]]
    place: Callable[[int], str]


@dataclass(frozen=True, kw_only=True)
class Leak:
    """Something that was found, without its value.

    Attributes:
        name: of the variable or pattern.
        places: where, and how often there.
    """

    name: str
    places: tuple[tuple[str, int], ...]

    @property
    def count(self) -> int:
        """How often in all."""
        return sum(count for _, count in self.places)

    def __str__(self) -> str:
        return ", ".join(f"{place} ({count})" for place, count in self.places)
