"""Random data over many pages, and their checksum: one wrong byte after a thaw is seen."""

import os
import zlib
from collections.abc import Iterator

DATA = [os.urandom(2000) for _ in range(200)]
SUM = [zlib.crc32(piece) for piece in DATA]
LINES = [f"line {number} of many" for number in range(5000)]
LINES_SUM = hash(tuple(LINES))


def check() -> Iterator[tuple[str, str | None]]:
    """Compare."""
    yield "data", None if [zlib.crc32(piece) for piece in DATA] == SUM else "wrong bytes"
    yield "lines", None if hash(tuple(LINES)) == LINES_SUM else "wrong text"
