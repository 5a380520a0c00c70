"""What a socket of the frozen process is, and why it cannot be frozen, if so.

The socket itself is asked, through a copy of the descriptor (pidfd_getfd(2),
Linux 5.6).  Rejected: to look its inode up in /proc/net, where neither a UDP
socket that has not sent anything stands nor a TCP socket that was never
connected, both of which any library may hold.
"""

from __future__ import annotations

import ctypes
import os
import socket

_PIDFD_GETFD = 438  # number of the system call, the same on all architectures
_TCP_STATES = {1: "connected", 2: "connecting", 8: "half closed", 10: "listening"}  # linux/tcp_states.h
_TCP_CLOSE = 7
_KINDS = {socket.SOCK_STREAM: "TCP", socket.SOCK_DGRAM: "UDP"}


def impossible(pid: int, fd: int) -> str:
    """Names a socket that no snapshot gives back; empty for one that can be made again.

    What can: a pair of the process's own, and network sockets without a peer.

    Args:
        pid: as this process sees it.
        fd: descriptor of that process, a socket.

    Raises:
        OSError: the process is gone or may not be looked at.
    """
    with _copy(pid, fd) as copy:
        if copy.family == socket.AF_UNIX:
            name = copy.getsockname()
            return f"a Unix socket {_printable(name)}" if name else ""
        if copy.family not in (socket.AF_INET, socket.AF_INET6):
            return f"a socket of address family {copy.family}"
        kind = _KINDS.get(socket.SocketKind(copy.type))
        if kind is None:
            return f"a network socket of type {copy.type}"
        peer = _peer(copy)
        if kind == "TCP":
            state = copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
            if state == _TCP_CLOSE:
                return f"a TCP socket bound to {_address(copy)}" if copy.getsockname()[1] else ""
            name = _TCP_STATES.get(state, f"in TCP state {state}")
            return f"a TCP socket {name}{' on' if name == 'listening' else ','} {_address(copy)}" + (
                f" to {peer}" if peer else ""
            )
        return f"a UDP socket connected to {peer}" if peer else ""


def _copy(pid: int, fd: int) -> socket.socket:
    libc = ctypes.CDLL(None, use_errno=True)
    process = os.pidfd_open(pid)
    try:
        copy = libc.syscall(_PIDFD_GETFD, process, fd, 0)
    finally:
        os.close(process)
    if copy < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"descriptor {fd} of process {pid}: {os.strerror(number)}")
    return socket.socket(fileno=copy)


def _peer(sock: socket.socket) -> str:
    try:
        host, port = sock.getpeername()[:2]
    except OSError:
        return ""
    return f"{host}:{port}"


def _address(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"{host}:{port}"


def _printable(name: str | bytes) -> str:
    text = name.decode(errors="replace") if isinstance(name, bytes) else name
    return text.replace("\0", "@")
