"""A netlink socket."""

import socket
from typing import Any

REFUSED = r"descriptor \d+: a (netlink )?socket"
SOCKET = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
SOCKET.bind((0, 0))


def handler(event: Any, context: Any) -> Any: ...
