"""A process that the import started and let go, so that it is nobody's child."""

import os
import subprocess
from typing import Any

REFUSED = r"process, started by this function and left, \d+: /usr/bin/tail -f /dev/null"
READ, WRITE = os.pipe()
CHILD = os.fork()
if CHILD == 0:
    os.setsid()
    daemon = subprocess.Popen(["/usr/bin/tail", "-f", "/dev/null"], stdin=-3, stdout=-3, stderr=-3)
    os._exit(0)
os.waitpid(CHILD, 0)
os.close(READ)
os.close(WRITE)


def handler(event: Any, context: Any) -> Any: ...
