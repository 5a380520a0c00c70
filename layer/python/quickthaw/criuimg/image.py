"""The frame around CRIU's messages: magic numbers, length-prefixed messages, raw data between them.

An image file is one or two 32-bit magic numbers (the common one first, since
image format 1.1; ``inventory.img`` has only its own) and then messages, each
behind its 32-bit length.  In some files (``pipes-data``, ``sk-queues``,
``ghost-file``) raw bytes follow a message; their number stands in it.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TypeVar

from quickthaw.criuimg.wire import decode
from quickthaw.errors import BadSnapshot

Record = TypeVar("Record")

# criu/include/magic.h: the common magic and the service magic stand before the file's own.
COMMON_MAGICS = (0x54564319, 0x55105940)


class ImageReader:
    """Reads one image file front to back.

    Raises:
        BadSnapshot: from every method, when the file is missing or not as long as it says.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._data = path.read_bytes()
        except OSError as error:
            raise BadSnapshot(
                f"cannot read {path}: {error.strerror}", hint="make the snapshot again"
            ) from error
        self._at = 0
        if int.from_bytes(self._take(4), "little") in COMMON_MAGICS:
            self._take(4)

    def _take(self, size: int) -> bytes:
        piece = self._data[self._at : self._at + size]
        if len(piece) != size:
            raise BadSnapshot(
                f"{self.path} is cut off at byte {len(self._data)}", hint="make the snapshot again"
            )
        self._at += size
        return piece

    def more(self) -> bool:
        """Whether anything is left."""
        return self._at < len(self._data)

    def record(self, kind: type[Record]) -> Record:
        """The next message."""
        (size,) = struct.unpack("<I", self._take(4))
        return decode(kind, self._take(size))

    def raw(self, size: int) -> bytes:
        """The next `size` raw bytes."""
        return self._take(size)

    def rest(self) -> bytes:
        """Everything that is left."""
        return self._take(len(self._data) - self._at)


def read_one(path: Path, kind: type[Record]) -> Record:
    """The first message of an image file."""
    return ImageReader(path).record(kind)


def read_all(path: Path, kind: type[Record]) -> tuple[Record, ...]:
    """All messages of an image file."""
    reader = ImageReader(path)
    found = []
    while reader.more():
        found.append(reader.record(kind))
    return tuple(found)
