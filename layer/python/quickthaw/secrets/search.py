"""The search: every byte once, however many values there are to find.

One value at a time through ``bytes.find`` costs 50 to 100 ms per form and
100 MB; thirty variables in ten forms each would take half a minute.  So each
form is represented by four of its bytes, the rarest-looking, and NumPy looks
up the four bytes at every address in a table; what passes is compared in
full.  The cost does not depend on how many forms there are.

Wide text (UTF-16 and UTF-32, in which CPython keeps a str with one character
beyond Latin-1) is found as runs of printable characters with zeros between,
narrowed, and searched like the rest, patterns included.

Memory comes in pieces; pieces that adjoin are searched as one, so that a
value over a page's or a piece's edge is found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import numpy as np

from quickthaw.secrets.leak import Leak, Stream
from quickthaw.secrets.wanted import Wanted

OVERLAP: Final = 16 << 10  # bytes: the longest match that is sure to be found over an edge
_GRAM: Final = 4  # bytes that represent a form
_BITS: Final = 17  # of the table: 128 KiB of flags stay in the second-level cache
_MIX: Final = np.uint32(2654435761)  # 2^32 / golden ratio (Knuth, multiplicative hashing)
_WIDE_RUN: Final = 8  # characters: shorter runs of wide text are what small integers look like


def search(
    streams: Iterable[Stream], wanted: Wanted, *, on_bytes: Callable[[int], None] = lambda _size: None
) -> tuple[Leak, ...]:
    """Looks for everything that is wanted.

    Args:
        streams: what to search.
        wanted: what to look for.
        on_bytes: called with the number of bytes that were searched since the last call.
    """
    matcher = _Matcher(wanted)
    seen: set[tuple[str, str, int]] = set()
    places: dict[str, Counter[str]] = {}
    for stream in streams:
        for name, address in _in_stream(stream, matcher, on_bytes):
            if (stream.space, name, address) not in seen:
                seen.add((stream.space, name, address))
                places.setdefault(name, Counter())[stream.place(address)] += 1
    return tuple(
        Leak(name=name, places=tuple(counts.most_common())) for name, counts in sorted(places.items())
    )


def _in_stream(
    stream: Stream, matcher: _Matcher, on_bytes: Callable[[int], None]
) -> Iterator[tuple[str, int]]:
    """Name and address of each hit; one may come twice."""
    for address, window, first, last in _windows(stream.pieces):
        on_bytes(last - first)
        for name, at in matcher.hits(window):
            if first <= at < last:
                yield name, address + at


def _windows(pieces: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes, int, int]]:
    """Address, bytes, and the part of them [first, last) in which a match may begin.

    Around that part lies what a match needs to be judged: text before it, room for its end.
    """
    base, held, first = 0, b"", 0
    for address, data in pieces:
        if address != base + len(held):
            if len(held) > first:
                yield base, held, first, len(held)
            base, held, first = address, b"", 0
        held += data
        last = len(held) - OVERLAP
        if last > first:
            yield base, held, first, last
            keep = max(0, last - OVERLAP)
            base, held, first = base + keep, held[keep:], last - keep
    if len(held) > first:
        yield base, held, first, len(held)


class _Matcher:
    """All values and patterns, compiled."""

    def __init__(self, wanted: Wanted) -> None:
        # By gram: what stands at which distance before it.
        self._literals: dict[int, list[tuple[bytes, int, str]]] = {}
        self._anchored: dict[int, list[tuple[bytes, int, Any, str]]] = {}
        self._patterns = [one for one in wanted.patterns if not one.anchors]
        for value in wanted.values:
            for form in value.forms:
                at = _rarest(form)
                self._literals.setdefault(_word(form, at), []).append((form, at, value.name))
        for pattern in wanted.patterns:
            for anchor in pattern.anchors:
                at = _rarest(anchor)
                self._anchored.setdefault(_word(anchor, at), []).append(
                    (anchor, at, pattern.regex, pattern.name)
                )
        grams = np.array(sorted(self._literals.keys() | self._anchored.keys()), dtype=np.uint32)
        self._grams = grams
        self._table = np.zeros(1 << _BITS, dtype=np.bool_)
        self._table[_hash(grams)] = True

    def hits(self, data: bytes) -> Iterator[tuple[str, int]]:
        """Name and offset of each hit, in narrow and in wide text."""
        yield from self._narrow(data)
        for width, shift in ((2, 0), (2, 1), (4, 0), (4, 1), (4, 2), (4, 3)):
            text, offsets, starts = _narrowed(data, width, shift)
            for name, at in self._narrow(text):
                run = int(np.searchsorted(starts, at, side="right")) - 1
                yield name, int(offsets[run]) + (at - int(starts[run])) * width

    def _narrow(self, data: bytes) -> Iterator[tuple[str, int]]:
        for gram, position in self._candidates(data):
            for form, before, name in self._literals.get(gram, ()):
                at = position - before
                if at >= 0 and data.startswith(form, at):
                    yield name, at
            for anchor, before, regex, name in self._anchored.get(gram, ()):
                at = position - before
                if at >= 0 and data.startswith(anchor, at) and regex.match(data, at):
                    yield name, at
        for pattern in self._patterns:
            for match in pattern.regex.finditer(data):
                if match.end() > match.start():
                    yield pattern.name, match.start()

    def _candidates(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Each gram that is at home here, and its offset."""
        if not len(self._grams):
            return
        for shift in range(min(_GRAM, len(data) - _GRAM + 1)):
            words = np.frombuffer(data, "<u4", count=(len(data) - shift) // _GRAM, offset=shift)
            passed = np.flatnonzero(self._table[_hash(words)])
            found = words[passed]
            nearest = self._grams[np.minimum(np.searchsorted(self._grams, found), len(self._grams) - 1)]
            for index in np.flatnonzero(nearest == found):
                yield int(found[index]), int(passed[index]) * _GRAM + shift


def _hash(words: Any) -> Any:
    return (words * _MIX) >> np.uint32(32 - _BITS)


def _word(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + _GRAM], "little")


def _rarest(form: bytes) -> int:
    """Offset of the four bytes that are least likely to be met elsewhere."""

    def rank(at: int) -> int:
        gram = form[at : at + _GRAM]
        mixed = sum(0 if byte in b"\0 \xff" else 1 if 97 <= byte <= 122 else 3 for byte in gram)
        return mixed + 2 * len(set(gram))

    return max(range(len(form) - _GRAM + 1), key=rank)


def _narrowed(data: bytes, width: int, shift: int) -> tuple[bytes, Any, Any]:
    """The ASCII in UTF-16 or UTF-32 text.

    Args:
        width: bytes of a character, 2 or 4.
        shift: where the first character begins; text inside of bytes need not be aligned.

    Returns:
        All runs of it, apart by zeros; offset of each run in `data`; offset of each in the text.
    """
    count = max(0, len(data) - shift) // width
    if not count:
        return b"", np.zeros(0, np.int64), np.zeros(1, np.int64)
    units = np.frombuffer(data, "<u2" if width == 2 else "<u4", count=count, offset=shift)
    printable = np.zeros(len(units) + 2, dtype=np.int8)
    np.less(units - units.dtype.type(0x20), units.dtype.type(0x5F), out=printable[1:-1].view(np.bool_))
    edges = np.flatnonzero(np.diff(printable))
    begins, ends = edges[::2], edges[1::2]
    long = ends - begins >= _WIDE_RUN
    begins, ends = begins[long], ends[long]
    pieces = [units[begin:end].astype(np.uint8).tobytes() for begin, end in zip(begins, ends, strict=True)]
    lengths = np.array([len(piece) + 1 for piece in pieces], dtype=np.int64)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])[: max(1, len(pieces))]
    return b"\0".join(pieces), begins * width + shift, starts
