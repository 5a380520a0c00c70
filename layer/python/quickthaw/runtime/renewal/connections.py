"""Idle keep-alive connections of HTTP clients, closed before the freeze.

Every call that a warm-up makes leaves one in a pool, and no snapshot can give it
back.  The next request opens a new one, which also asks DNS anew, so nothing is
lost; the pools themselves stay, and with them the clients.

What counts as idle is the client library's own notion:

- http.client, and so urllib3, requests and botocore (their connections are
  subclasses): between requests, with the last response read to its end, and
  `auto_open`, by which the next request connects again;
- httpcore, and so httpx: `is_idle()`, in the sync pool; in the async one, the
  event loop that owns the connection runs to close it.

Anything else that is open is in use, or belongs to a protocol with a state
(a database, a websocket), and is refused by the checkpoint by name.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any

from quickthaw.runtime.renewal import heap


def close_idle() -> int:
    """Closes them; returns how many."""
    return _close_http_client() + _close_httpcore()


def _close_http_client() -> int:
    module: Any = sys.modules.get("http.client")
    if module is None:
        return 0
    closed = 0
    for connection in heap.instances(module.HTTPConnection):
        if getattr(connection, "sock", None) is not None and _between_requests(module, connection):
            with contextlib.suppress(OSError):
                connection.close()
            closed += 1
    return closed


def _between_requests(module: Any, connection: Any) -> bool:
    response = getattr(connection, "_HTTPConnection__response", None)
    return (
        bool(connection.auto_open)
        and getattr(connection, "_HTTPConnection__state", None) == module._CS_IDLE
        and (response is None or response.isclosed())
    )


def _close_httpcore() -> int:
    module: Any = sys.modules.get("httpcore")
    if module is None:
        return 0
    closed = 0
    for pool in heap.instances((module.ConnectionPool, module.AsyncConnectionPool)):
        for connection in list(pool.connections):
            if connection.is_idle() and not connection.is_closed():
                if isinstance(pool, module.ConnectionPool):
                    connection.close()
                elif not _close_in_loop(connection):
                    continue
                with contextlib.suppress(ValueError):
                    pool._connections.remove(connection)
                closed += 1
    return closed


def _close_in_loop(connection: Any) -> bool:
    """Closes an async connection in the event loop that it belongs to, if that loop stands still."""
    inner = getattr(connection, "_connection", connection)  # a pool's connection wraps the protocol's
    stream = getattr(inner, "_network_stream", None)
    socket = stream.get_extra_info("socket") if stream is not None else None
    if socket is None or socket.fileno() < 0 or "asyncio" not in sys.modules:
        return False
    from asyncio import selector_events, sleep

    # By its transport: a connection that nobody reads from is in no selector.
    for transport in heap.instances(selector_events._SelectorTransport):  # type: ignore[attr-defined]
        loop = transport._loop
        if transport._sock_fd == socket.fileno() and loop is not None:
            if loop.is_closed() or loop.is_running():
                return False
            loop.run_until_complete(connection.aclose())
            loop.run_until_complete(sleep(0))  # transports close in the loop's next turn
            return True
    return False
