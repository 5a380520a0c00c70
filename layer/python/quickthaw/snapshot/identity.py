"""Is a mapped file still the one that was mapped when the function was frozen?

A snapshot holds the changed pages of libraries, not their text; the rest is
mapped again from disk.  Another file there means wrong code under old data.
Size and modification time settle it in two microseconds a file.  Where the
time differs (layers are unpacked anew on every host), the ELF build-id does;
a file without one (locale archives, tables) is compared as a whole.

Left out on purpose: hashing every library at each thaw.  150 MB of libraries
read from disk would cost more than the imports that a thaw saves.
"""

from __future__ import annotations

import posix
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_NT_GNU_BUILD_ID = 3  # elf.h
_PT_NOTE = 4
_CLAMPED_UNTIL_NS = 315_705_600 * 10**9  # 1980-01-03 UTC, past the zip format's first day in any time zone
_PROGRAM_HEADER = 56  # bytes of an Elf64_Phdr


def build_id(path: str) -> str | None:
    """The GNU build-id of a 64-bit little-endian ELF file in hexadecimal; None where there is none.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        head = file.read(4096)  # program headers and notes are at the front
        if head[:6] != b"\x7fELF\x02\x01":
            return None
        table, entry, count = _number(head, 32, 8), _number(head, 54, 2), _number(head, 56, 2)
        if entry < _PROGRAM_HEADER:
            return None
        for at in range(table, table + entry * count, entry):
            if _number(head, at, 4) != _PT_NOTE:
                continue
            file.seek(_number(head, at + 8, 8))
            found = _note(file.read(_number(head, at + 32, 8)))
            if found:
                return found
    return None


def _number(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")


def _note(notes: bytes) -> str | None:
    at = 0
    while at + 12 <= len(notes):
        name_size, size, kind = (_number(notes, at + i, 4) for i in (0, 4, 8))
        value = at + 12 + (name_size + 3) // 4 * 4
        if kind == _NT_GNU_BUILD_ID and notes[at + 12 : at + 16] == b"GNU\0":
            return notes[value : value + size].hex()
        at = value + (size + 3) // 4 * 4
    return None


def crc32(path: str) -> int:
    """CRC-32 of a whole file, read in pieces of 1 MiB.

    Raises:
        OSError: the file cannot be read.
    """
    value = 0
    with open(path, "rb", buffering=0) as file:
        while piece := file.read(1 << 20):
            value = zlib.crc32(piece, value)
    return value


def crc32_of(fd: int, on_piece: Callable[[int], None]) -> int:
    """CRC-32 of an open file from its beginning; `on_piece` is told the bytes of each piece.

    Raises:
        OSError: the file cannot be read.
    """
    value = at = 0
    while piece := posix.pread(fd, 1 << 20, at):
        value = zlib.crc32(piece, value)
        at += len(piece)
        on_piece(len(piece))
    return value


def time_tells(mtime_ns: int) -> bool:
    """Whether a modification time distinguishes files.

    Reproducible builds give every file the same old one (1970 or the zip format's 1980).
    """
    return mtime_ns > _CLAMPED_UNTIL_NS


def difference(entry: dict[str, Any], root: str = "", now: posix.stat_result | None = None) -> str | None:
    """Why a mapped file is not the one of the manifest; None when it is.

    Args:
        entry: one element of the manifest's `mapped`.
        root: what stands before its path, to look into another process's file system.
        now: what stat(2) says of it, where that was asked already.
    """
    path = root + entry["path"]
    try:
        now = now or posix.stat(path)
        if now.st_size != entry["size"]:
            return f"{path} has {now.st_size} bytes, {entry['size']} when it was frozen"
        if now.st_mtime_ns == entry["mtime_ns"] and time_tells(now.st_mtime_ns):
            return None
        if entry["build_id"] is not None:
            same = build_id(path) == entry["build_id"]
        else:
            same = crc32(path) == entry["crc32"]
    except OSError as error:
        return f"{path}: {error.strerror}"
    return None if same else f"{path} is not the file that was mapped when the function was frozen"
