"""A bucket on this machine that is as far away, and gives its bytes as slowly, as it is told.

Serves what `quickthaw.runtime.transfer` asks for: GET of whole objects and of
ranges, with an ETag.  A new connection waits for one round trip, each answer
for another; from then on a connection gets at most its own share and all together
at most what the line has, in pieces of 64 KiB.

Rejected: moto behind tc-netem (the loopback device is everybody's, and needs
CAP_NET_ADMIN), and moto behind a proxy (it reads whole objects and is slower
than the network that is to be measured).  Signatures are not looked at: the
tests of `publish` do that.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

NAME = "bucket"
_PIECE = 64 << 10
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


@dataclass(frozen=True, kw_only=True)
class Network:
    """What lies between a function and its bucket.

    Attributes:
        round_trip_s: seconds.
        connection_bytes_per_s: what one connection gets at most.
        bytes_per_s: what all of them get together.
    """

    round_trip_s: float
    connection_bytes_per_s: float
    bytes_per_s: float


class _Line:
    """What all connections share: one piece passes after the other."""

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._free_s = 0.0
        self._lock = threading.Lock()

    def passed_s(self, size: int) -> float:
        """CLOCK_MONOTONIC at which so many more bytes have passed."""
        with self._lock:
            self._free_s = max(self._free_s, time.monotonic()) + size / self._bytes_per_s
            return self._free_s


@contextmanager
def bucket(directory: Path, network: Network) -> Iterator[str]:
    """Serve the files below a directory as the objects of the bucket `NAME`; gives the endpoint's URL."""
    shared = _Line(network.bytes_per_s)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            time.sleep(network.round_trip_s)  # of the handshake

        def do_GET(self) -> None:
            time.sleep(network.round_trip_s)
            path = _file(directory, self.path)
            if path is None:
                self._head(404, 0)
                return
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                asked = _RANGE.fullmatch(self.headers.get("range", ""))
                if asked is None:
                    begin, end = 0, size
                    self._head(200, size)
                else:
                    begin, end = int(asked[1]), min(int(asked[2]) + 1, size)
                    if begin >= end:
                        self._head(416, 0)
                        return
                    self._head(206, end - begin, f"bytes {begin}-{end - 1}/{size}")
                self._send(file.fileno(), begin, end)

        def _head(self, status: int, size: int, content_range: str | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(size))
            self.send_header("ETag", '"one"')
            if content_range is not None:
                self.send_header("Content-Range", content_range)
            self.end_headers()

        def _send(self, fd: int, begin: int, end: int) -> None:
            begun_s = time.monotonic()
            for at in range(begin, end, _PIECE):
                piece = os.pread(fd, min(_PIECE, end - at), at)
                own_s = begun_s + (at + len(piece) - begin) / network.connection_bytes_per_s
                due_s = max(own_s, shared.passed_s(len(piece)))
                time.sleep(max(0.0, due_s - time.monotonic()))
                self.wfile.write(piece)

        def log_message(self, *args: object) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever asked has gone: a function that was killed, or gave up.  Anything else is a defect."""
        if not isinstance(sys.exception(), OSError):
            raise


def _file(directory: Path, target: str) -> Path | None:
    """The file that an object's address names, if there is one and it lies below the directory."""
    path = unquote(urlsplit(target).path)
    found = directory.joinpath(path.removeprefix(f"/{NAME}/")).resolve()
    below = path.startswith(f"/{NAME}/") and found.is_relative_to(directory.resolve())
    return found if below and found.is_file() else None
