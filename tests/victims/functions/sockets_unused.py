"""Sockets that were made and never bound or connected, as clients and tracers make them at import."""

import socket
from typing import Any

SAME = ("received", "options")

UDP = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
UDP.setblocking(False)
TCP = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
TCP.settimeout(5)
UNIX = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


def handler(event: Any, context: Any) -> dict[str, Any]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        UDP.sendto(b"segment", server.getsockname())
        received = server.recv(100)
    if event["call"] == 1:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            TCP.connect(listening.getsockname())
    return {"received": received.decode(), "options": [UDP.gettimeout(), TCP.gettimeout(), UNIX.type]}
