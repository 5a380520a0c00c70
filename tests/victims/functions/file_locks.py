"""Locks on files that the import took: flock, and a POSIX lock on a file without a name."""

import fcntl
import os
import tempfile
from typing import Any

SAME = ("flock", "posix")

OWN = open(__file__)  # noqa: SIM115 - stays open
fcntl.flock(OWN, fcntl.LOCK_SH)
FILE = tempfile.TemporaryFile()  # noqa: SIM115 - stays open
fcntl.lockf(FILE, fcntl.LOCK_EX, 10, 5)


def handler(event: Any, context: Any) -> dict[str, Any]:
    with open(__file__) as other:
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            flock = "free"
        except BlockingIOError:
            flock = "held"
    child = os.fork()
    if child == 0:
        try:
            fcntl.lockf(FILE, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 5)
            os._exit(0)
        except OSError:
            os._exit(1)
    return {"flock": flock, "posix": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}
