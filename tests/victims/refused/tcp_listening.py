"""A TCP socket that listens."""

import socket
from typing import Any

REFUSED = r"descriptor \d+: a TCP socket listening on 127\.0\.0\.1:\d+"
SERVER = socket.create_server(("127.0.0.1", 0))


def handler(event: Any, context: Any) -> Any: ...
