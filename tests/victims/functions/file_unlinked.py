"""A temporary file without a name, one that was unlinked while it was mapped, and a sparse one."""

import mmap
import os
import tempfile
from typing import Any

SAME = ("text", "position", "mapped", "sparse", "blocks")

FILE = tempfile.TemporaryFile("w+")  # noqa: SIM115 - stays open
FILE.write("temporary\n" * 3)
FILE.flush()
FILE.seek(10)
MAPPED_FD, _path = tempfile.mkstemp()
os.ftruncate(MAPPED_FD, 8192)
MAPPED = mmap.mmap(MAPPED_FD, 8192)
os.unlink(_path)
MAPPED[4096:4100] = b"here"
SPARSE = tempfile.TemporaryFile()  # noqa: SIM115 - stays open
SPARSE.seek(1 << 20)
SPARSE.write(b"end")
SPARSE.flush()


def handler(event: Any, context: Any) -> dict[str, Any]:
    position = FILE.tell()
    text = FILE.readline()
    FILE.seek(0, os.SEEK_END)
    FILE.write(f"call {event['call']}\n")
    FILE.flush()
    FILE.seek(10)
    MAPPED[0:1] = bytes([event["call"]])
    SPARSE.seek(1 << 20)
    return {
        "text": text,
        "position": position,
        "mapped": [os.pread(MAPPED_FD, 1, 0)[0], os.pread(MAPPED_FD, 4, 4096).decode()],
        "sparse": SPARSE.read().decode(),
        "blocks": os.fstat(FILE.fileno()).st_size,
    }
