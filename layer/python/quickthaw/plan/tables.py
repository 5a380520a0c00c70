"""Collects the plan's tables and its data region, and seals them into one file."""

from __future__ import annotations

import itertools
from typing import Any, Final

from quickthaw.plan import layout
from quickthaw.plan.checksum import xxh32

_ALIGN: Final = 8


class Tables:
    """A plan in the making: rows by table, bytes in the data region."""

    def __init__(self) -> None:
        self._rows: dict[str, list[bytes]] = {record.name: [] for record in layout.TABLES}
        self._data = bytearray()
        self._known: dict[bytes, int] = {}
        self._header_size = -(-layout.HEADER.size // _ALIGN) * _ALIGN

    def add(self, record: layout.Record, **values: int | bytes) -> int:
        """Add a row; returns its index in its table."""
        rows = self._rows[record.name]
        rows.append(record.pack(**values))
        return len(rows) - 1

    def count(self, record: layout.Record) -> int:
        """Rows of a table so far."""
        return len(self._rows[record.name])

    def piece(self, field: str, data: bytes) -> dict[str, int]:
        """Store bytes; returns the two members of the ``struct plan_piece`` called `field`."""
        at = self._known.get(data)
        if at is None:
            self._data.extend(bytes(-len(self._data) % _ALIGN))
            at = len(self._data)
            self._data.extend(data)
            self._known[data] = at
        return {f"{field}__offset": self._header_size + at, f"{field}__size": len(data)}

    def text(self, field: str, text: str) -> dict[str, int]:
        """Store a string with its NUL."""
        return self.piece(field, text.encode("utf-8", "surrogateescape") + b"\0")

    def seal(self, **header: int) -> bytes:
        """The plan's bytes.

        Args:
            header: fields of the header; sizes, tables and checksum are added here.
        """
        body = bytearray(self._data)
        places = {}
        for number, record in enumerate(layout.TABLES):
            rows = self._rows[record.name]
            body.extend(bytes(-len(body) % _ALIGN))
            places[f"tables[{number}]__offset"] = self._header_size + len(body)
            places[f"tables[{number}]__count"] = len(rows)
            places[f"tables[{number}]__record_size"] = record.size
            body.extend(b"".join(rows))
        body.extend(bytes(-len(body) % _ALIGN))
        fields = {
            "magic": layout.MAGIC,
            "version": layout.VERSION,
            "header_size": layout.HEADER.size,
            "size": self._header_size + len(body),
            "machine": layout.MACHINE_X86_64,
            **header,
            **places,
        }
        head = layout.HEADER.pack(**fields).ljust(self._header_size, b"\0")
        return resealed(head + body)


def resealed(plan: bytes) -> bytes:
    """The same plan with its checksum made right."""
    at = layout.HEADER.offset("checksum")
    blank = plan[:at] + bytes(4) + plan[at + 4 :]
    return plan[:at] + xxh32(blank).to_bytes(4, "little") + plan[at + 4 :]


def rows(plan: bytes, record: layout.Record) -> list[dict[str, Any]]:
    """The rows of one table of a sealed plan; for tests and ``inspect``."""
    number = layout.TABLES.index(record)
    head = layout.HEADER.unpack(plan)
    start, count = head[f"tables[{number}].offset"], head[f"tables[{number}].count"]
    assert isinstance(start, int) and isinstance(count, int)
    return [record.unpack(plan, at) for at in itertools.islice(itertools.count(start, record.size), count)]
