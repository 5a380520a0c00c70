"""A child process that a thread started, which waits for it."""

import subprocess
import threading
from typing import Any

REFUSED = r"child process \d+: /usr/bin/tail -f /dev/null"
STARTED = threading.Event()


def _run() -> None:
    with subprocess.Popen(["/usr/bin/tail", "-f", "/dev/null"]) as child:
        STARTED.set()
        child.wait()


threading.Thread(target=_run, daemon=True).start()
STARTED.wait()


def handler(event: Any, context: Any) -> Any: ...
