"""What the restorer compares to know a mapped file again: size, time, and two samples of its bytes.

Size and modification time are the fast answer (one fstat).  Where the time
differs (layers are unpacked anew on every host) the samples decide: the ELF
build-id where there is one, else the first and the last page of the file.
The restorer knows nothing of ELF notes: it is told where to read and what
XXH32 to expect.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from quickthaw.errors import BadSnapshot
from quickthaw.names import PAGE_SIZE
from quickthaw.plan import layout
from quickthaw.plan.checksum import xxh32
from quickthaw.snapshot.identity import build_id, time_tells

_NO_TIME = 1  # a file's time that never fits: the samples decide


@dataclass(frozen=True, kw_only=True)
class Sample:
    """`size` bytes at `offset` have this XXH32; size 0: nothing to compare."""

    offset: int = 0
    size: int = 0
    checksum: int = 0


@dataclass(frozen=True, kw_only=True)
class Identity:
    """One mapped file, by the path that the frozen process saw."""

    path: str
    size: int
    mtime_ns: int
    samples: tuple[Sample, Sample]


def of_file(path: str, real: Path, *, whole: bool = False) -> Identity:
    """Identify a file.

    Args:
        path: as the frozen process sees it.
        real: the same file on this machine.
        whole: compare all of it where the time differs, if it has no more than SAMPLE_ROOM bytes.

    Raises:
        BadSnapshot: it is not there any more.
    """
    try:
        status = real.stat()
        samples = _samples(real, status.st_size, whole=whole)
    except OSError as error:
        raise BadSnapshot(
            f"{path} is mapped by the process and cannot be read: {error.strerror}",
            hint="make the snapshot again",
        ) from error
    mtime_ns = status.st_mtime_ns if time_tells(status.st_mtime_ns) else _NO_TIME
    return Identity(path=path, size=status.st_size, mtime_ns=mtime_ns, samples=samples)


def _samples(real: Path, size: int, *, whole: bool) -> tuple[Sample, Sample]:
    found = build_id(str(real))
    with real.open("rb") as file:
        if whole and size <= layout.SAMPLE_ROOM:
            return Sample(size=size, checksum=xxh32(file.read())), Sample()
        if found is not None:
            value = bytes.fromhex(found)
            head = file.read(1 << 16)
            at = head.find(value)
            if at >= 0:
                return Sample(offset=at, size=len(value), checksum=xxh32(value)), Sample()
        ends = []
        for offset in (0, max(0, size - PAGE_SIZE)):
            file.seek(offset)
            piece = file.read(min(size, PAGE_SIZE))
            ends.append(Sample(offset=offset, size=len(piece), checksum=xxh32(piece)))
    return ends[0], ends[1]
