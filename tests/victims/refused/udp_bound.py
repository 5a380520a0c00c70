"""A UDP socket that is bound to a port."""

import socket
from typing import Any

REFUSED = r"descriptor \d+: a UDP socket on 127\.0\.0\.1:\d+"
SOCKET = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
SOCKET.bind(("127.0.0.1", 0))


def handler(event: Any, context: Any) -> Any: ...
