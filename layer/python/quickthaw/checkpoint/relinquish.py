"""The outer half of giving up what `--allow` names: says what takes whose place, and ends processes.

The inner half, `quickthaw.runtime.relinquish`, runs in the function's process.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

from quickthaw.checkpoint import sockets
from quickthaw.checkpoint.refuse import Refusal

REMAIN: Final = frozenset(
    {"ipc", "tmp", "databases"}
)  # kinds of which nothing is taken away: they are not there after a thaw
_COLLECTED_S: Final = 5.0  # seconds in which a killed process is gone; milliseconds are usual
_SOCKETS: Final = {"connections", "listeners"}
_UNIX_TYPES: Final = {int(socket.SOCK_STREAM), int(socket.SOCK_DGRAM), int(socket.SOCK_SEQPACKET)}
_NULL: Final = {"pipes", "devices"}


def give_up(found: Iterable[Refusal], pid: int, ask: Callable[[dict[str, Any]], object]) -> None:
    """Has everything given up that was found and is allowed.

    Args:
        found: of kinds that can be allowed.
        pid: the function's process, as this process sees it.
        ask: sends a question to the function and waits until it was done.

    Raises:
        FunctionFailed: the function could not do it.
    """
    given_up: dict[str, Any] = {"streams": [], "sockets": [], "null": [], "silent": []}
    ended: list[int] = []
    for one in found:
        number = one.key[1] if one.key else -1
        if one.kind in _SOCKETS:
            kind = sockets.kind_of(pid, number)
            if one.kind == "connections" and kind == socket.SOCK_STREAM:
                given_up["streams"].append(number)
            else:
                given_up["sockets"].append([number, kind if kind in _UNIX_TYPES else int(socket.SOCK_DGRAM)])
        elif one.kind in _NULL or (one.kind == "ipc" and one.key):
            given_up["null"].append(number)
        elif one.kind == "watches":
            given_up["silent"].append(number)
        elif one.host_pid is not None:
            _end(one.host_pid)
            ended.append(one.host_pid)
    given_up["children"] = len(ended)
    ask({"relinquish": given_up})
    # What was no child of the function is collected by pid 1 of its sandbox, in its own time.
    deadline = time.monotonic() + _COLLECTED_S
    while any(os.path.exists(f"/proc/{gone}") for gone in ended) and time.monotonic() < deadline:
        time.sleep(0.001)


def _end(pid: int) -> None:
    """Kills a process and waits until it is a zombie or gone."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, signal.SIGKILL)
        select.select([process], [], [], _COLLECTED_S)
    finally:
        os.close(process)
