"""One HTTP/1.1 connection that is read straight into memory, over TLS where the address says so.

Rejected: `http.client` and `ssl`.  They import `email`, `socket`, `re` and
`enum`, 25 to 40 ms on two processors, before the first byte is asked for; what
is left of them for a GET whose answer has a length are these lines.  TLS
itself, certificates and host names are OpenSSL's business here as there:
`_ssl`'s client context demands a certificate that fits the name by default
(CPython, Modules/_ssl.c, PROTOCOL_TLS_CLIENT), and tests hold it to that.
"""

from __future__ import annotations

import _socket
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from quickthaw.runtime.s3 import Store

STALLED_S = 2.0  # without a byte for so long, another connection is tried
_HEAD = 32768  # bytes of status line and headers at most


class _Socket(_socket.socket):
    """`_ssl` wants to refer to it weakly, which the C class alone does not allow."""


class Answer:
    """Status and headers of an answer; the body is read from the connection.

    Attributes:
        status: as in HTTP.
        headers: names in lower case.
        length: bytes of the body; None where the server does not say.
        last: the server takes no more requests on this connection.
    """

    __slots__ = ("headers", "last", "length", "status")

    def __init__(self, version: str, status: int, headers: dict[str, str]) -> None:
        self.status = status
        self.headers = headers
        self.last = headers.get("connection", "").lower() == "close" or version == "HTTP/1.0"
        said = headers.get("content-length", "")
        self.length = int(said) if said.isdecimal() and "transfer-encoding" not in headers else None


def trust(environ: Mapping[str, str]) -> Any:
    """The TLS context: the system's certificates, or those of AWS_CA_BUNDLE.

    Loading them takes 10 to 20 ms, so it is done once for all connections.

    Raises:
        OSError: AWS_CA_BUNDLE cannot be read.
    """
    import _ssl  # only where there is TLS

    context = _ssl._SSLContext(_ssl.PROTOCOL_TLS_CLIENT)
    bundle = environ.get("AWS_CA_BUNDLE")
    if bundle:
        context.load_verify_locations(bundle)
    else:
        context.set_default_verify_paths()
    return context


class Connection:
    """Opens when it is made.

    Args:
        store: where to.
        context: from `trust`; unused without TLS.
        deadline_s: CLOCK_MONOTONIC at which nothing is waited for any more.

    Raises:
        OSError: no connection; a certificate that does not fit is a ValueError too.
    """

    def __init__(self, store: Store, context: Any, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        # Bytes: a str would be encoded by the codec idna, which imports re and collections.
        family, kind, protocol, _, address = _socket.getaddrinfo(
            store.host.encode(), store.port, 0, _socket.SOCK_STREAM
        )[0]
        self._socket = _Socket(family, kind | _socket.SOCK_CLOEXEC, protocol)
        self._pending = b""
        self._tls: Any = None
        try:
            self._limit()
            self._socket.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
            self._socket.connect(address)
            if store.secure:
                self._tls = context._wrap_socket(self._socket, False, store.host)
                self._limit()
                self._tls.do_handshake()
        except BaseException:
            self._socket.close()
            raise

    def ask(self, request: bytes) -> Answer:
        """Sends a request and reads the head of its answer.

        Raises:
            OSError: cut, stalled, or no HTTP.
        """
        self._limit()
        view = memoryview(request)
        while view:
            view = view[(self._tls.write(view) if self._tls else self._socket.send(view)) :]
        head = self._pending
        while b"\r\n\r\n" not in head:
            piece = bytearray(_HEAD)
            got = self._receive(memoryview(piece))
            if not got or len(head) > _HEAD:
                raise ConnectionError("the connection ended before the answer")
            head += piece[:got]
        text, _, self._pending = head.partition(b"\r\n\r\n")
        first, *lines = text.decode("latin-1").split("\r\n")
        version, _, rest = first.partition(" ")
        if not version.startswith("HTTP/1.") or not rest[:3].isdecimal():
            raise ConnectionError(f"no HTTP: {first[:40]}")
        fields = (line.partition(":") for line in lines)
        return Answer(
            version, int(rest[:3]), {name.strip().lower(): value.strip() for name, _, value in fields}
        )

    def read(self, view: memoryview) -> int:
        """Up to `len(view)` bytes of the body; 0 when the connection has ended.

        Raises:
            OSError: cut or stalled.
        """
        if self._pending:
            size = min(len(view), len(self._pending))
            view[:size] = self._pending[:size]
            self._pending = self._pending[size:]
            return size
        self._limit()
        return self._receive(view)

    def close(self) -> None:
        """Gives the descriptor back; nobody is told good-bye."""
        self._socket.close()

    def _receive(self, view: memoryview) -> int:
        return int(self._tls.read(len(view), view) if self._tls else self._socket.recv_into(view))

    def _limit(self) -> None:
        left_s = self._deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(min(STALLED_S, left_s))
