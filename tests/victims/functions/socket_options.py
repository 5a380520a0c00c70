"""Options of a socket pair that only CRIU gives back: priority, credentials, a timeout in the kernel."""

import os
import socket
import struct
from typing import Any

SAME = ("priority", "credentials", "timeout")
ENGINES = ("criu",)
DECLINED = r"descriptor \d+: a Unix socket with the option SO_PRIORITY"

LEFT, RIGHT = socket.socketpair()
LEFT.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, 5)
LEFT.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
RIGHT.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 3, 0))


def handler(event: Any, context: Any) -> dict[str, Any]:
    RIGHT.sendall(b"who")
    _data, ancillary, _flags, _address = LEFT.recvmsg(10, 100)
    credentials = [struct.unpack("3i", data) for _level, kind, data in ancillary if kind == 2]
    return {
        "priority": LEFT.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY),
        "credentials": [(pid == os.getpid(), uid, gid) for pid, uid, gid in credentials],
        "timeout": struct.unpack("@ll", RIGHT.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16)),
    }
