"""A child that has ended and that nobody waited for."""

import os
from typing import Any

REFUSED = r"child process \d+: ended, but nobody waited for it"
CHILD = os.fork()
if CHILD == 0:
    os._exit(0)
os.waitid(os.P_PID, CHILD, os.WEXITED | os.WNOWAIT)


def handler(event: Any, context: Any) -> Any: ...
