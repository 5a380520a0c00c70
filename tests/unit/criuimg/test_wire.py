"""The protobuf decoder reads what the format says, and refuses the rest."""

from __future__ import annotations

import contextlib
import struct
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quickthaw.criuimg import PageMap, PageStore
from quickthaw.criuimg.image import COMMON_MAGICS, ImageReader, read_all
from quickthaw.criuimg.records import PageRun, Vma
from quickthaw.criuimg.wire import blob, decode, flag, int64, message, messages, sint, text, uint, uints
from quickthaw.errors import BadSnapshot


@dataclass(frozen=True, kw_only=True)
class Inner:
    """A nested message."""

    number: int = uint(1)


@dataclass(frozen=True, kw_only=True)
class Outer:
    """One field of each kind."""

    plain: int = uint(1)
    signed: int = int64(2, default=0)
    zigzag: int = sint(3, default=0)
    yes: bool = flag(4)
    name: str = text(5, default="")
    raw: bytes = blob(6, default=b"")
    inner: Inner | None = message(7, Inner, default=None)
    many: tuple[int, ...] = uints(8)
    inners: tuple[Inner, ...] = messages(9, Inner)


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, wire: int, payload: bytes) -> bytes:
    return varint(number << 3 | wire) + payload


def sized(number: int, payload: bytes) -> bytes:
    return field(number, 2, varint(len(payload)) + payload)


@given(
    plain=st.integers(0, (1 << 64) - 1),
    signed=st.integers(-(1 << 63), (1 << 63) - 1),
    zigzag=st.integers(-(1 << 31), (1 << 31) - 1),
    raw=st.binary(max_size=50),
    many=st.lists(st.integers(0, (1 << 64) - 1), max_size=10),
    packed=st.booleans(),
)
def test_every_kind_of_field_is_read(
    plain: int, signed: int, zigzag: int, raw: bytes, many: list[int], packed: bool
) -> None:
    data = field(1, 0, varint(plain)) + field(2, 0, varint(signed % (1 << 64)))
    data += field(3, 0, varint(zigzag << 1 if zigzag >= 0 else (-zigzag << 1) - 1)) + field(4, 0, b"\1")
    data += sized(5, raw) + sized(6, raw) + sized(7, field(1, 0, varint(5)))
    data += (
        sized(8, b"".join(map(varint, many))) if packed else b"".join(field(8, 0, varint(n)) for n in many)
    )
    data += (
        sized(9, field(1, 0, varint(6))) * 2
        + field(99, 0, b"\5")
        + field(98, 5, bytes(4))
        + field(97, 1, bytes(8))
    )
    found = decode(Outer, data)
    assert (found.plain, found.signed, found.zigzag, found.yes) == (plain, signed, zigzag, True)
    assert found.name.encode("utf-8", "surrogateescape") == raw == found.raw
    assert (found.inner, found.many, found.inners) == (Inner(number=5), tuple(many), (Inner(number=6),) * 2)


@pytest.mark.parametrize(
    "data",
    [
        b"",  # the required field is missing
        b"\x08",  # no value
        b"\x08" + b"\xff" * 11,  # a varint without an end
        b"\x08\x01\x32\x05abc",  # five bytes announced, three there
        b"\x08\x01\x0b",  # a group, which proto2 has given up
        sized(1, b"x"),  # bytes where a number belongs
    ],
)
def test_a_malformed_message_is_refused(data: bytes) -> None:
    with pytest.raises(BadSnapshot):
        decode(Outer, data)


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    with contextlib.suppress(BadSnapshot):
        decode(Vma, data)


def image(path: Path, *entries: bytes, magics: int = 2) -> Path:
    head = struct.pack("<II", COMMON_MAGICS[0], 0x1234) if magics == 2 else struct.pack("<I", 0x1234)
    path.write_bytes(head + b"".join(struct.pack("<I", len(entry)) + entry for entry in entries))
    return path


def test_an_image_gives_all_its_messages(tmp_path: Path) -> None:
    for magics in (1, 2):
        path = image(tmp_path / "x.img", field(1, 0, b"\1"), field(1, 0, b"\2"), magics=magics)
        assert read_all(path, Inner) == (Inner(number=1), Inner(number=2))


def test_a_cut_image_is_named(tmp_path: Path) -> None:
    path = image(tmp_path / "x.img", field(1, 0, b"\1"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadSnapshot, match=r"x\.img is cut off"):
        read_all(path, Inner)


def test_raw_bytes_between_messages_are_read(tmp_path: Path) -> None:
    path = image(tmp_path / "x.img", field(1, 0, b"\3"))
    path.write_bytes(path.read_bytes() + b"abcrest")
    reader = ImageReader(path)
    assert reader.record(Inner).number == 3
    assert (reader.raw(3), reader.rest(), reader.more()) == (b"abc", b"rest", False)


def test_pages_are_found_by_their_number(tmp_path: Path) -> None:
    path = tmp_path / "pages-1.img"
    path.write_bytes(b"a" * 4096 + bytes(4096) + b"c" * 4096)
    runs = (PageRun(vaddr=0x10000, nr_pages=2, flags=4), PageRun(vaddr=0x50000, compat_nr_pages=1))
    with PageStore(PageMap(pages_id=1, runs=runs), path) as store:
        assert sorted(store) == [16, 17, 80]
        assert (bytes(store.page(80)), store.is_zero(16), store.is_zero(17)) == (b"c" * 4096, False, True)
        assert 18 not in store


def test_a_pages_file_of_another_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pages-1.img"
    path.write_bytes(bytes(4096))
    with pytest.raises(BadSnapshot, match="the page map says 8192"):
        PageStore(PageMap(pages_id=1, runs=(PageRun(vaddr=0, nr_pages=2),)), path)


def test_pages_in_a_parent_dump_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pages-1.img"
    path.write_bytes(b"")
    with pytest.raises(BadSnapshot, match="parent"):
        PageStore(PageMap(pages_id=1, runs=(PageRun(vaddr=0, nr_pages=1, in_parent=True),)), path)
