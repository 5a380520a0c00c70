"""A TCP connection to a server that another thread of the function serves."""

import socket
from typing import Any

REFUSED = r"descriptor \d+: a TCP socket connected, 127\.0\.0\.1:\d+ to 127\.0\.0\.1:\d+"
SERVER = socket.create_server(("127.0.0.1", 0))
CLIENT = socket.create_connection(SERVER.getsockname())
PEER, _ = SERVER.accept()


def handler(event: Any, context: Any) -> Any: ...
