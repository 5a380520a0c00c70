"""A descriptor that was sent over a socket pair and not yet received, which only CRIU gives back."""

import array
import os
import socket
from typing import Any

SAME = ("received",)
ENGINES = ("criu",)
DECLINED = r"a Unix socket with descriptors under way"

LEFT, RIGHT = socket.socketpair()
READ, WRITE = os.pipe()
os.write(WRITE, b"through")
LEFT.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [READ]))])


def handler(event: Any, context: Any) -> dict[str, Any]:
    if event["call"] == 2:
        return {"received": "once"}
    _data, ancillary, _flags, _address = RIGHT.recvmsg(10, 100)
    (descriptor,) = array.array("i", ancillary[0][2])
    return {"received": os.read(descriptor, 100).decode()}
