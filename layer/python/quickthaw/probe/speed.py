"""How fast memory and disk are: small samples, and each says how it was taken.

A few hundredths of a second each, so that it can run in a function that is
billed for it.  Good to a factor of one and a half; `quickthaw bench` measures.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from collections.abc import Iterator
from pathlib import Path

from quickthaw.probe import kernel
from quickthaw.probe.finding import Finding, refusal
from quickthaw.probe.machine import mount_kind

_PAGE = mmap.PAGESIZE
_MEMORY = 16 << 20  # bytes; above every cache of one core
_DISK = 32 << 20  # bytes at most
_DISK_S = 1.0  # at most
_CHUNK = 1 << 20
_ROUNDS = 3
_MADV_NOHUGEPAGE = 15
_IN_MEMORY = ("tmpfs", "ramfs", "rootfs")


def findings(disk: Path | None) -> Iterator[Finding]:
    """Page faults, copies, and reads of a file.

    Args:
        disk: a file, or a directory, of which the largest file is taken; None leaves it out.
    """
    yield _page_fault()
    yield _copy()
    if disk is not None:
        yield _disk(disk)


def _page_fault() -> Finding:
    """Writing to fresh memory less writing to the same memory again."""
    first, again = [], []
    for _ in range(_ROUNDS):
        memory, address = _fresh()
        first.append(_set(address))
        again.append(_set(address))
        del memory
    cost = (min(first) - min(again)) / (_MEMORY // _PAGE)
    return Finding(
        name="page_fault", group="speed", value=cost, unit="s", note=f"a fresh page of {_PAGE} bytes"
    )


def _copy() -> Finding:
    source_memory, source = _fresh()
    target_memory, target = _fresh()
    for address in (source, target):
        kernel.memset(address, 1, _MEMORY)
    taken = []
    for _ in range(_ROUNDS):
        began_s = time.perf_counter()
        kernel.memmove(target, source, _MEMORY)
        taken.append(time.perf_counter() - began_s)
    del source_memory, target_memory
    return Finding(
        name="memory_copy", group="speed", value=_MEMORY / min(taken), unit="bytes/s",
        note=f"{_MEMORY >> 20} MiB, one thread",
    )  # fmt: skip


def _disk(place: Path) -> Finding:
    path = largest(place)
    if path is None:
        return Finding(name="disk_read", group="speed", note=f"no file in {place} to read")
    try:
        size, seconds, how = _read(path)
    except OSError as error:
        return Finding(name="disk_read", group="speed", note=refusal(error))
    kind = mount_kind(str(path))
    if kind in _IN_MEMORY:
        how = "from memory"
    return Finding(
        name="disk_read", group="speed", value=size / seconds, unit="bytes/s",
        note=f"{size / (1 << 20):.1f} MiB of {path} ({kind}), {how}",
    )  # fmt: skip


def largest(place: Path) -> Path | None:
    """The file itself, or the largest readable one below a directory."""
    if place.is_file():
        return place
    found: tuple[int, Path] | None = None
    for directory, _, files in os.walk(place):
        for name in files:
            path = Path(directory, name)
            try:
                size = path.lstat().st_size
            except OSError:
                continue
            if path.is_file() and os.access(path, os.R_OK) and (found is None or size > found[0]):
                found = (size, path)
    return None if found is None else found[1]


def _read(path: Path) -> tuple[int, float, str]:
    """Bytes, seconds, and in which way: past the page cache where the file system can."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
        how = "past the page cache"
    except OSError:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        # The kernel keeps what somebody has mapped, so this promises nothing.
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        how = "through the page cache: may be too fast"
    buffer = mmap.mmap(-1, _CHUNK)  # aligned, as O_DIRECT asks for
    done = 0
    began_s = time.monotonic()
    try:
        while done < _DISK and time.monotonic() - began_s < _DISK_S:
            count = os.preadv(fd, [buffer], done)
            done += count
            if count < _CHUNK:
                break
    finally:
        os.close(fd)
    return done, time.monotonic() - began_s, how


def _fresh() -> tuple[mmap.mmap, int]:
    memory = mmap.mmap(-1, _MEMORY, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(_MADV_NOHUGEPAGE)
    return memory, ctypes.addressof(ctypes.c_char.from_buffer(memory))


def _set(address: int) -> float:
    """Seconds to write to all of it."""
    began_s = time.perf_counter()
    kernel.memset(address, 1, _MEMORY)
    return time.perf_counter() - began_s
