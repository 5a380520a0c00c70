"""What a socket of another process is: asked of the kernel through a duplicate, not guessed from tables.

pidfd_getfd(2), Linux 5.6, gives us the same open socket; its state, its
addresses and its peer are then plain calls.  (/proc/net lists neither
unconnected sockets nor who is at the other end of a Unix socket.)  For that
last question there is sock_diag(7).  The sandbox shares our network namespace.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
from collections.abc import Collection
from typing import Final

_PIDFD_GETFD: Final = 438  # on every architecture
_TCP_CLOSE: Final = 7  # linux/tcp_states.h
_TCP_LISTEN: Final = 10
_TCP_STATES: Final = {1: "connected", 2: "connecting", 8: "half closed"}
_NAMES: Final = {
    (int(socket.SOCK_STREAM), socket.IPPROTO_TCP): "TCP",
    (int(socket.SOCK_DGRAM), socket.IPPROTO_UDP): "UDP",
}
_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_NLM_F_REQUEST: Final = 1
_NLMSG_ERROR: Final = 2
_UDIAG_SHOW_PEER: Final = 4
_UNIX_DIAG_PEER: Final = 2
_GONE: Final = 0  # the inode of a socket that its owner has closed
_NO_COOKIE: Final = 0xFFFFFFFF


def describe(pid: int, fd: int, own: Collection[int]) -> tuple[str, str] | None:
    """What keeps a socket out of a snapshot.

    What can be made again: a pair of the process's own, Unix sockets without a name, TCP sockets that were
    never connected nor bound, and UDP sockets without a peer.

    Args:
        pid: the process, as this process sees it.
        fd: the descriptor there.
        own: inode numbers of all sockets of that process.

    Returns:
        The kind (`kinds.KINDS`) and what it is; None where it can be made again.
    """
    try:
        duplicate = _duplicate(pid, fd)
    except OSError as error:
        return "kernel-objects", f"a socket that cannot be looked at ({error.strerror})"
    with duplicate:
        if duplicate.family in (socket.AF_INET, socket.AF_INET6):
            return _inet(duplicate)
        if duplicate.family == socket.AF_UNIX:
            return _unix(duplicate, own)
        name = getattr(duplicate.family, "name", f"family {int(duplicate.family)}")
        return "connections", f"a socket of {name}"


def kind_of(pid: int, fd: int) -> int:
    """SOCK_STREAM or another type.

    Raises:
        OSError: it cannot be looked at.
    """
    with _duplicate(pid, fd) as duplicate:
        return int(duplicate.type)


def _duplicate(pid: int, fd: int) -> socket.socket:
    libc = ctypes.CDLL(None, use_errno=True)
    process = os.pidfd_open(pid)
    try:
        number = libc.syscall(_PIDFD_GETFD, process, fd, 0)
    finally:
        os.close(process)
    if number < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return socket.socket(fileno=number)


def _inet(sock: socket.socket) -> tuple[str, str] | None:
    name = _NAMES.get((int(sock.type), sock.proto))
    if name is None:
        kind = getattr(sock.type, "name", f"type {int(sock.type)}")
        return "connections", f"a network socket of {kind}, protocol {sock.proto}"
    own, peer = sock.getsockname(), None
    with contextlib.suppress(OSError):
        peer = sock.getpeername()
    state = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] if name == "TCP" else None
    if state == _TCP_LISTEN:
        return "listeners", f"a TCP socket listening on {_address(own)}"
    if peer is not None or state not in (None, _TCP_CLOSE):
        how = _TCP_STATES.get(state, f"in TCP state {state}") if state is not None else "connected"
        far = f" to {_address(peer)}" if peer is not None else ""
        return "connections", f"a {name} socket {how}, {_address(own)}{far}"
    if own[1] and name == "TCP":
        return "listeners", f"a TCP socket bound to {_address(own)}"
    return None


def _address(address: tuple[object, ...]) -> str:
    return f"{address[0]}:{address[1]}"


def _unix(sock: socket.socket, own: Collection[int]) -> tuple[str, str] | None:
    name = sock.getsockname()
    text = name.decode(errors="replace").replace("\0", "@") if isinstance(name, bytes) else str(name)
    if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return "listeners", f"a Unix socket {text or 'without a name'}, listening"
    far = ""
    with contextlib.suppress(OSError):
        found = sock.getpeername()
        far = found.decode(errors="replace").replace("\0", "@") if isinstance(found, bytes) else str(found)
    peer = _peer(os.fstat(sock.fileno()).st_ino)
    if far or (peer not in (None, _GONE) and peer not in own):
        return "connections", f"a Unix socket connected to {far or 'another process'}"
    if text:
        return "listeners", f"a Unix socket {text}"
    if peer == _GONE:
        return "connections", "a Unix socket whose peer has hung up"
    return None


def _peer(inode: int) -> int | None:
    """Inode of the socket at the other end (unix_diag, linux/unix_diag.h); None where there is none."""
    body = struct.pack(
        "<BBHIIIII", socket.AF_UNIX, 0, 0, 0xFFFFFFFF, inode, _UDIAG_SHOW_PEER, *[_NO_COOKIE] * 2
    )
    head = struct.pack("<IHHII", 16 + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as diag:
        diag.send(head + body)
        answer = diag.recv(4096)
    length, kind = struct.unpack_from("<IH", answer)
    if kind == _NLMSG_ERROR:
        return None
    at = 16 + 16  # nlmsghdr, unix_diag_msg
    while at + 4 <= length:
        size, attribute = struct.unpack_from("<HH", answer, at)
        if attribute == _UNIX_DIAG_PEER:
            return int(struct.unpack_from("<I", answer, at + 4)[0])
        at += -(-size // 4) * 4
    return None
