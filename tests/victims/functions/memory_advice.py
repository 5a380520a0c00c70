"""Memory with advice: not for children, and huge pages."""

import ctypes
import mmap
import os
from typing import Any

SAME = ("child", "huge")

SECRET = mmap.mmap(-1, 4 * 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
SECRET.madvise(mmap.MADV_DONTFORK)
SECRET[:6] = b"secret"
HUGE = mmap.mmap(-1, 8 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
HUGE.madvise(mmap.MADV_HUGEPAGE)
HUGE[:4] = b"huge"
ADDRESS = ctypes.addressof(ctypes.c_char.from_buffer(SECRET))
HUGE_AT = ctypes.addressof(ctypes.c_char.from_buffer(HUGE))


def _flags(address: int) -> list[str]:
    with open("/proc/self/smaps") as maps:
        found = False
        for line in maps:
            head = line.split()
            if "-" in head[0] and not head[0].endswith(":"):
                start, end = (int(word, 16) for word in head[0].split("-"))
                found = start <= address < end
            elif found and head[0] == "VmFlags:":
                return head[1:]
    return []


def handler(event: Any, context: Any) -> dict[str, Any]:
    child = os.fork()
    if child == 0:
        with open("/proc/self/maps") as maps:
            spans = [[int(word, 16) for word in line.split()[0].split("-")] for line in maps]
        os._exit(int(any(start <= ADDRESS < end for start, end in spans)))
    return {
        "child": [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), SECRET[:6].decode()],
        "huge": ["hg" in _flags(HUGE_AT), HUGE[:4].decode()],
    }
