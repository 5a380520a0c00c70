"""A memfd with a size, an offset and seals, one that is mapped, and one opened twice."""

import fcntl
import mmap
import os
from typing import Any

SAME = ("text", "seals", "mapped", "grown")
MODES = ("async", "sync", "plain")
PYTHONS = ("3.12", "3.13")

SEALED = os.memfd_create("sealed", os.MFD_ALLOW_SEALING)
os.write(SEALED, b"sealed text")
os.lseek(SEALED, 7, os.SEEK_SET)
fcntl.fcntl(SEALED, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
MAPPED = os.memfd_create("mapped")
os.ftruncate(MAPPED, 1 << 20)
MEMORY = mmap.mmap(MAPPED, 1 << 20)
MEMORY[123456:123462] = b"memory"
GROWS = os.memfd_create("grows")


def handler(event: Any, context: Any) -> dict[str, Any]:
    text = os.read(SEALED, 10)
    os.lseek(SEALED, 7, os.SEEK_SET)
    try:
        os.ftruncate(SEALED, 1)
        seals = -1
    except PermissionError:
        seals = fcntl.fcntl(SEALED, fcntl.F_GET_SEALS)
    MEMORY[0] = event["call"]
    os.write(GROWS, b"x")
    return {
        "text": text.decode(),
        "seals": seals,
        "mapped": [os.pread(MAPPED, 6, 123456).decode(), os.pread(MAPPED, 1, 0)[0]],
        "grown": os.fstat(GROWS).st_size,
    }
