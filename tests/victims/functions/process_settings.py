"""Settings of the process: umask, working directory, limits, recursion limit, switch interval and name."""

import ctypes
import os
import resource
import sys
import threading
from typing import Any

SAME = ("umask", "directory", "limits", "recursion", "switch", "name", "stack")
PYTHONS = ("3.12", "3.13")

os.umask(0o027)
os.chdir("/")
resource.setrlimit(resource.RLIMIT_NOFILE, (900, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
sys.setrecursionlimit(5000)
sys.setswitchinterval(0.001)
threading.stack_size(512 << 10)
LIBC = ctypes.CDLL(None)
LIBC.prctl(15, b"renamed")


def handler(event: Any, context: Any) -> dict[str, Any]:
    umask = os.umask(0)
    os.umask(umask)
    with open("/proc/self/comm") as comm:
        name = comm.read()
    return {
        "umask": umask,
        "directory": os.getcwd(),
        "limits": [resource.getrlimit(resource.RLIMIT_NOFILE)[0], resource.getrlimit(resource.RLIMIT_CORE)],
        "recursion": sys.getrecursionlimit(),
        "switch": sys.getswitchinterval(),
        "name": name,
        "stack": threading.stack_size(),
    }
