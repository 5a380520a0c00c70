"""Gives up what the user allowed to be given up (`--allow`), right before the dump.

Done by the process itself, because only it can put something else at its own
descriptor, and only a parent can collect a child.  What stands in is of a
kind that both engines can make again, and keeps the descriptor's number and
flags, so that the objects that hold it go on, and fail in a way they know.

A stream gets one end of a socket pair that is shut down, which is what a
connection looks like whose other side has closed it: pools notice before they
use it.  Its other end stays open at a descriptor of its own, because neither
engine makes a socket without its peer again.  Everything that is no stream,
and listeners, get an unconnected Unix socket; an Internet socket would be
nearer, but CRIU dumps one on newer kernels with help only (layer/criu/sockopt.c).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from typing import Any


def relinquish(given_up: dict[str, list[Any]]) -> None:
    """Replaces descriptors and collects children that have been killed.

    Args:
        given_up: "streams", "null" and "silent": descriptors; "sockets": [descriptor, type] each;
            "children": how many have ended and wait to be collected; 0 for none of them.

    Raises:
        OSError: a descriptor cannot be replaced.
    """
    for fd in given_up.get("streams", ()):
        dead, peer = socket.socketpair()
        dead.shutdown(socket.SHUT_RDWR)
        _replace(fd, dead.detach())
        peer.detach()
    for fd, kind in given_up.get("sockets", ()):
        _replace(fd, socket.socket(socket.AF_UNIX, kind).detach())
    for fd in given_up.get("null", ()):
        _replace(fd, os.open(os.devnull, os.O_RDWR))
    for fd in given_up.get("silent", ()):
        _replace(fd, os.eventfd(0))
    if given_up.get("children"):
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass


def _replace(fd: int, by: int) -> None:
    flags = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK
    os.dup2(by, fd, inheritable=os.get_inheritable(fd))
    os.close(by)
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | flags)
