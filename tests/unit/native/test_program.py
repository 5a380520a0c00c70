"""The restorer as a file: small, static, movable, and its checksum is the planner's."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
from pathlib import Path

import pytest
from quickthaw.plan.checksum import xxh32

NATIVE = Path(__file__).resolve().parents[3] / "layer" / "native"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory that `make` filled."""
    out = tmp_path_factory.mktemp("native")
    subprocess.run(["make", "-s", "-C", NATIVE, f"OUT={out}"], check=True, capture_output=True)
    return out


def test_the_program_has_at_most_40_kilobytes(built: Path) -> None:
    assert (built / "thaw").stat().st_size <= 40 * 1024


def test_the_program_needs_no_loader_and_no_library(built: Path) -> None:
    headers = subprocess.run(
        ["readelf", "-lW", built / "thaw"], check=True, capture_output=True, text=True
    ).stdout
    assert "INTERP" not in headers
    assert "DYNAMIC" not in headers
    assert "RWE" not in headers


def test_no_data_holds_an_address_so_the_program_can_be_moved(built: Path) -> None:
    """An absolute relocation in any object file would be an address of the place that it is linked at."""
    objects = sorted(built.glob("*.o"))
    assert len(objects) > 20
    for path in objects:
        if path.name == "liblz4-member.o":
            continue  # only one function of it is linked, as lz4.o
        text = subprocess.run(["readelf", "-rW", path], check=True, capture_output=True, text=True).stdout
        kinds = set(re.findall(r"R_X86_64_\w+", text))
        assert kinds <= {"R_X86_64_PC32", "R_X86_64_PLT32", "R_X86_64_GOTPCRELX", "R_X86_64_REX_GOTPCRELX"}, (
            path.name
        )


def test_the_checksum_in_c_is_the_planners(built: Path, tmp_path: Path) -> None:
    library = tmp_path / "xxh32.so"
    command = ["cc", "-std=c11", "-O2", "-shared", "-fPIC", "-o", str(library), str(NATIVE / "xxh32.c")]
    subprocess.run(command, check=True)
    function = ctypes.CDLL(str(library)).xxh32
    function.restype = ctypes.c_uint32
    function.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    for size in (*range(70), 1000, 4096, 100_001):
        data = os.urandom(size)
        assert function(data, size) == xxh32(data)


def test_two_builds_are_the_same_file(built: Path, tmp_path: Path) -> None:
    subprocess.run(["make", "-s", "-C", NATIVE, f"OUT={tmp_path}"], check=True, capture_output=True)
    assert (tmp_path / "thaw").read_bytes() == (built / "thaw").read_bytes()
