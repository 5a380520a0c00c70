"""The protobuf wire format, as much of it as CRIU's images use, driven by dataclass fields.

A record in `records` is a frozen dataclass whose fields say their number and
type (``start: int = uint(1)``); `decode` reads the bytes of one message into
it.  Unknown fields are skipped, as protobuf demands: a newer CRIU may add
some.  A missing required field or a malformed byte raises `BadSnapshot`.

Rejected: the protobuf package with modules compiled from CRIU's ``.proto``
files.  It would be a run-time dependency with a version of its own and the
files are not ours; the wire format is a page long (protobuf.dev, "Encoding").
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable
from typing import Any, TypeVar

from quickthaw.errors import BadSnapshot

Record = TypeVar("Record")
_MASK64 = (1 << 64) - 1
_REQUIRED = object()


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    """How one field of a record is found on the wire and read."""

    number: int
    convert: Callable[[Any], Any]  # raw int or bytes -> value
    wire: int  # 0 varint, 1 eight bytes, 2 length-delimited
    repeated: bool
    default: Any


def _field(
    number: int, convert: Callable[[Any], Any], *, wire: int, default: Any, repeated: bool = False
) -> Any:
    spec = _Field(number, convert, wire, repeated, default)
    if repeated:
        return dataclasses.field(default=(), metadata={"wire": spec})
    if default is _REQUIRED:
        return dataclasses.field(metadata={"wire": spec})
    return dataclasses.field(default=default, metadata={"wire": spec})


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _zigzag(value: int) -> int:
    return (value >> 1) ^ -(value & 1)


def _text(raw: bytes) -> str:
    # Paths may hold any byte; surrogateescape gives them back unchanged.
    return bytes(raw).decode("utf-8", "surrogateescape")


def uint(number: int, *, default: Any = _REQUIRED) -> Any:
    """A uint32, uint64 or enum field."""
    return _field(number, int, wire=0, default=default)


def int64(number: int, *, default: Any = _REQUIRED) -> Any:
    """An int32 or int64 field: negative values are ten-byte two's complement varints."""
    return _field(number, _signed, wire=0, default=default)


def sint(number: int, *, default: Any = _REQUIRED) -> Any:
    """A sint32 or sint64 field (zigzag)."""
    return _field(number, _zigzag, wire=0, default=default)


def flag(number: int, *, default: Any = False) -> Any:
    """A bool field; absent means false."""
    return _field(number, bool, wire=0, default=default)


def text(number: int, *, default: Any = _REQUIRED) -> Any:
    """A string field."""
    return _field(number, _text, wire=2, default=default)


def blob(number: int, *, default: Any = _REQUIRED) -> Any:
    """A bytes field."""
    return _field(number, bytes, wire=2, default=default)


def message(number: int, record: type, *, default: Any = _REQUIRED) -> Any:
    """A nested message."""
    return _field(number, lambda raw: decode(record, raw), wire=2, default=default)


def uints(number: int) -> Any:
    """A repeated uint32 or uint64, packed or not; absent means empty."""
    return _field(number, int, wire=0, default=(), repeated=True)


def fixed64s(number: int) -> Any:
    """A repeated fixed64."""
    return _field(number, int, wire=1, default=(), repeated=True)


def messages(number: int, record: type) -> Any:
    """A repeated nested message; absent means empty."""
    return _field(number, lambda raw: decode(record, raw), wire=2, default=(), repeated=True)


_Table = tuple[dict[int, tuple[str, _Field]], tuple[str, ...]]
_TABLES: dict[type, _Table] = {}


def _table(record: type) -> _Table:
    known = _TABLES.get(record)
    if known is not None:
        return known
    fields: dict[int, tuple[str, _Field]] = {}
    required = []
    for field in dataclasses.fields(record):
        spec = field.metadata.get("wire")
        if spec is None:
            continue
        fields[spec.number] = (field.name, spec)
        if spec.default is _REQUIRED:
            required.append(field.name)
    _TABLES[record] = fields, tuple(required)
    return _TABLES[record]


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """Read one varint; returns its value (64 bits) and the offset behind it."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise BadSnapshot("a CRIU image holds a malformed varint", hint="make the snapshot again")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _MASK64, at
        shift += 7


def decode(record: type[Record], raw: bytes | memoryview) -> Record:
    """Decode one message into a frozen record.

    Raises:
        BadSnapshot: the bytes are no message of that type.
    """
    data = memoryview(raw)
    table, required = _table(record)
    found: dict[str, Any] = {}
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        number, wire = key >> 3, key & 7
        value: Any
        if wire == 0:
            value, at = varint(data, at)
        elif wire == 2:
            size, at = varint(data, at)
            value, at = data[at : at + size], at + size
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            value, at = int.from_bytes(data[at : at + size], "little"), at + size
        else:
            raise BadSnapshot(
                f"{record.__name__}: wire type {wire} in a CRIU image", hint="make the snapshot again"
            )
        if at > len(data):
            raise BadSnapshot(
                f"{record.__name__}: a CRIU image ends within a field", hint="make the snapshot again"
            )
        entry = table.get(number)
        if entry is None:
            continue
        name, spec = entry
        if spec.repeated:
            items = found.setdefault(name, [])
            if wire == 2 and spec.wire != 2:
                items.extend(map(spec.convert, _unpack(value, spec.wire)))
            else:
                items.append(spec.convert(value))
        elif wire != spec.wire:
            raise BadSnapshot(f"{record.__name__}.{name}: wire type {wire}", hint="make the snapshot again")
        else:
            found[name] = spec.convert(value)
    missing = [name for name in required if name not in found]
    if missing:
        raise BadSnapshot(
            f"{record.__name__}: no {missing[0]} in a CRIU image", hint="make the snapshot again"
        )
    return record(
        **{name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
    )


def _unpack(data: memoryview, wire: int) -> list[int]:
    """The values of a packed repeated field."""
    if wire == 1:
        if len(data) % 8:
            raise BadSnapshot("a CRIU image holds a ragged packed field", hint="make the snapshot again")
        return [value for (value,) in struct.iter_unpack("<Q", data)]
    values = []
    at = 0
    while at < len(data):
        value, at = varint(data, at)
        values.append(value)
    return values
