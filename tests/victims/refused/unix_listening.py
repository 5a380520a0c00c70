"""A Unix socket that listens under an abstract name."""

import socket
from typing import Any

REFUSED = r"descriptor \d+: a Unix socket @victim"
SERVER = socket.socket(socket.AF_UNIX)
SERVER.bind("\0victim")
SERVER.listen()


def handler(event: Any, context: Any) -> Any: ...
