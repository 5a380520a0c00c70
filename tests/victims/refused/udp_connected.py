"""A UDP socket that is connected, as resolvers and tracers have them."""

import socket
from typing import Any

REFUSED = r"descriptor \d+: a UDP socket connected, 127\.0\.0\.1:\d+ to 127\.0\.0\.1:2000"
SOCKET = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
SOCKET.connect(("127.0.0.1", 2000))


def handler(event: Any, context: Any) -> Any: ...
