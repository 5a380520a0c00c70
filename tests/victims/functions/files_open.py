"""Files open in every way: an offset, a shared offset, append, a directory, O_PATH, a memory map of one."""

import fcntl
import mmap
import os
from typing import Any

SAME = ("rest", "shared", "directory", "path", "mapped", "private", "cloexec")
PYTHONS = ("3.12", "3.13")

FILE = open(__file__, "rb")  # noqa: SIM115 - stays open
FILE.seek(4)
TWIN = os.dup(FILE.fileno())
FD = os.open(__file__, os.O_RDONLY)
os.lseek(FD, 20, os.SEEK_SET)
FD_TWIN = os.dup(FD)
os.set_inheritable(FD_TWIN, True)
DIRECTORY = os.open(os.path.dirname(__file__), os.O_RDONLY | os.O_DIRECTORY)
PATH = os.open(__file__, os.O_PATH)
MAPPED = mmap.mmap(FD, 0, mmap.MAP_SHARED, mmap.PROT_READ)
PRIVATE = mmap.mmap(FD, 0, mmap.MAP_PRIVATE)
PRIVATE[:4] = b"mine"


def handler(event: Any, context: Any) -> dict[str, Any]:
    FILE.seek(4)
    rest = FILE.read(6)
    first = os.read(FD, 3)
    second = os.read(FD_TWIN, 3)
    os.lseek(FD, 20, os.SEEK_SET)
    again = os.open(os.path.basename(__file__), os.O_RDONLY, dir_fd=DIRECTORY)
    size = os.fstat(again).st_size
    os.close(again)
    return {
        "rest": rest.decode(),
        "shared": (first + second).decode(),
        "directory": size == os.path.getsize(__file__),
        "path": os.path.samestat(os.fstat(PATH), os.stat(__file__)),
        "mapped": MAPPED[:30].decode(),
        "private": PRIVATE[:30].decode(),
        "cloexec": [fcntl.fcntl(fd, fcntl.F_GETFD) for fd in (FD, FD_TWIN)],
    }
