"""Manifest, page frame and file identities: what is written is read back, and damage is found."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import lz4.frame
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from quickthaw import names
from quickthaw.checkpoint import pack
from quickthaw.errors import BadSnapshot, Declined
from quickthaw.runtime import decode
from quickthaw.snapshot import identity, manifest, pages

from tests.conftest import ROOT

LIBLZ4 = ROOT / "build" / "layer" / "lib" / "liblz4.so.1"
BODY = {
    "format": names.FORMAT,
    "id": "0123456789abcdef",
    "note": 'quotes " and } and ,\n "checksum": "crc32:',
}
NOISE = random.Random(1).randbytes(4096 * 20)  # the same in every example
RELAXED = settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


def test_a_sealed_manifest_is_read_back() -> None:
    assert manifest.parse(manifest.seal(BODY), "m").body == BODY


@given(st.data())
def test_any_changed_bit_of_a_manifest_is_found(data: st.DataObject) -> None:
    sealed = bytearray(manifest.seal(BODY))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(BadSnapshot):
        manifest.parse(bytes(sealed), "m")


@given(st.integers(0, 200))
def test_a_cut_manifest_is_found(size: int) -> None:
    with pytest.raises(BadSnapshot):
        manifest.parse(manifest.seal(BODY)[:-1][:size], "m")


def test_another_format_is_named() -> None:
    with pytest.raises(BadSnapshot, match="format 7"):
        manifest.parse(manifest.seal({**BODY, "format": 7}), "m")


def test_no_snapshot_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(BadSnapshot, match="no snapshot") as caught:
        manifest.read(str(tmp_path))
    assert "quickthaw checkpoint" in caught.value.hint


def packed(directory: Path, content: bytes, block_size: int = 64 << 10) -> Path:
    """A page file with that content."""
    (directory / "pages-1.img").write_bytes(content)
    pack.pack(
        directory, level=3, block_size=block_size, keep_uncompressed=True, on_bytes=lambda _done, _all: None
    )
    return directory / "pages-1.comp.img"


def decoded(path: Path) -> bytes:
    """The content as a thaw gets it."""
    with path.open("rb") as file:
        decoder = decode.FrameDecoder(str(LIBLZ4), str(path), file.fileno())
        try:
            one = bytearray(decoder.index.block_size)
            return b"".join(bytes(block[:size]) for block, size in decoder.blocks(lambda: one))
        finally:
            decoder.close()


@RELAXED
@given(
    st.lists(st.sampled_from([bytes(4096), b"abcd" * 1024, NOISE[:4096]]), min_size=1, max_size=80),
    st.sampled_from(sorted(pages.BLOCK_SIZES)),
)
def test_pages_come_back_whatever_they_are(tmp_path: Path, content: list[bytes], block_size: int) -> None:
    path = packed(tmp_path, b"".join(content), block_size)
    assert decoded(path) == b"".join(content)
    frame = path.read_bytes()
    assert lz4.frame.decompress(frame) == b"".join(content)
    with path.open("rb") as file:
        index = pages.read_index(file.fileno(), str(path))
    assert (index.block_size, index.content_size) == (block_size, 4096 * len(content))
    assert index.frame_size() + len(index.pack()) == len(frame)


@RELAXED
@given(st.data())
def test_any_changed_byte_of_a_page_file_is_found(tmp_path: Path, data: st.DataObject) -> None:
    content = b"".join(bytes([n]) * 1000 + bytes(3096) for n in range(40)) + NOISE
    path = packed(tmp_path, content)
    spoiled = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(spoiled) - 1))
    spoiled[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(spoiled))
    with pytest.raises((Declined, BadSnapshot)):
        decoded(path)


@RELAXED
@given(st.integers(1, 90_000))
def test_a_cut_page_file_is_found(tmp_path: Path, less: int) -> None:
    path = packed(tmp_path, NOISE)
    os.truncate(path, max(0, path.stat().st_size - less))
    with pytest.raises((Declined, BadSnapshot)):
        decoded(path)


def test_zero_pages_and_the_ratio_are_counted(tmp_path: Path) -> None:
    (tmp_path / "pages-1.img").write_bytes(bytes(4096 * 3) + b"x" * 4096)
    (made,) = pack.pack(
        tmp_path, level=8, block_size=256 << 10, keep_uncompressed=False, on_bytes=lambda _done, _all: None
    ).values()
    assert (made.pages, made.zero_pages) == (4, 3)
    assert made.ratio == pytest.approx(made.content_size / made.size, abs=1e-3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pages-1.comp.img"]


def test_the_build_id_is_the_one_that_readelf_shows() -> None:
    for path in ("/bin/sh", "/lib64/ld-linux-x86-64.so.2"):
        told = subprocess.run(["readelf", "-n", path], capture_output=True, text=True, check=True).stdout
        assert identity.build_id(os.path.realpath(path)) == told.partition("Build ID: ")[2].split()[0]


def test_a_file_that_is_no_program_has_no_build_id(tmp_path: Path) -> None:
    for content in (
        b"",
        b"\x7fELF",
        b"#!/bin/sh\n",
        b"\x7fELF\x02\x01" + bytes(58),
        b"\x7fELF\x02\x01" + b"\xff" * 90,
    ):
        (tmp_path / "file").write_bytes(content)
        assert identity.build_id(str(tmp_path / "file")) is None


def test_a_file_is_recognised_by_size_time_and_content(tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_bytes(b"one")
    status = path.stat()
    entry = {
        "path": str(path),
        "size": 3,
        "mtime_ns": status.st_mtime_ns,
        "build_id": None,
        "crc32": identity.crc32(str(path)),
    }
    assert identity.difference(entry) is None
    os.utime(path, (1, 1))
    assert identity.difference(entry) is None, "touched, but the same"
    path.write_bytes(b"two")
    assert "is not the file" in str(identity.difference(entry))
    path.write_bytes(b"more")
    assert "has 4 bytes" in str(identity.difference(entry))
    path.unlink()
    assert "No such file" in str(identity.difference(entry))
