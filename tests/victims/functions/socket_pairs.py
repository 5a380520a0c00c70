"""Socket pairs of every type with unread data, message boundaries, a half that was shut, and buffers."""

import socket
from typing import Any

SAME = ("stream", "datagrams", "packets", "shut", "timeout", "buffer", "inheritable")

STREAM = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
DATAGRAM = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
PACKET = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
SHUT = socket.socketpair()
for _a, _b in (STREAM, DATAGRAM, PACKET):
    _a.send(b"one")
    _a.send(b"three")
    _b.send(b"back")
SHUT[0].sendall(b"last words")
SHUT[0].shutdown(socket.SHUT_WR)
STREAM[0].settimeout(7)
STREAM[1].setblocking(False)
DATAGRAM[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
PACKET[0].set_inheritable(True)


def handler(event: Any, context: Any) -> dict[str, Any]:
    if event["call"] == 2:  # what was read is written again, so that both calls find the same
        for a, b in (STREAM, DATAGRAM, PACKET):
            a.send(b"one")
            a.send(b"three")
            b.send(b"back")
    last = SHUT[1].recv(100) if event["call"] == 1 else b"last words"
    return {
        "stream": [STREAM[1].recv(100).decode(), STREAM[0].recv(100).decode()],
        "datagrams": [DATAGRAM[1].recv(100).decode() for _ in range(2)] + [DATAGRAM[0].recv(100).decode()],
        "packets": [PACKET[1].recv(100).decode() for _ in range(2)] + [PACKET[0].recv(100).decode()],
        "shut": [last.decode(), SHUT[1].recv(100).decode(), SHUT[1].send(b"x")],
        "timeout": [STREAM[0].gettimeout(), STREAM[1].gettimeout()],
        "buffer": DATAGRAM[0].getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF),
        "inheritable": [PACKET[0].get_inheritable(), PACKET[1].get_inheritable()],
    }
