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
import _thread
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from quickthaw.runtime.s3 import Store

STALLED_S = (
    0.5  # without a byte for so long, another connection is tried; one of S3's answers late now and then
)
STALLED_MOST_S = 2.0  # where the one before was silent, too, it may be a slow network
_STALLED_LEAST_S = 0.1
_HEAD = 32768  # bytes of status line and headers at most
_NAME_TRIES = 3  # of a resolver that says "try again"
_NAME_PAUSE_S = 0.1


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


class Peer:
    """Where connections go: found out once, for all of them.

    Attributes:
        store: what is asked for there.
        addresses: as getaddrinfo(3) orders them.
        context: for TLS; None without.

    Raises:
        OSError: the host has no address, or AWS_CA_BUNDLE cannot be read.
    """

    def __init__(self, store: Store, environ: Mapping[str, str], deadline_s: float) -> None:
        self.store = store
        self.addresses = _resolve(store.host, store.port, deadline_s)
        self.context = _trust(environ) if store.secure else None


def _trust(environ: Mapping[str, str]) -> Any:
    """The system's certificates, or those of AWS_CA_BUNDLE; loading them takes 10 to 20 ms."""
    import _ssl  # only where there is TLS

    context = _ssl._SSLContext(_ssl.PROTOCOL_TLS_CLIENT)
    bundle = environ.get("AWS_CA_BUNDLE")
    if bundle:
        context.load_verify_locations(bundle)
    else:
        context.set_default_verify_paths()
    return context


def _resolve(host: str, port: int, deadline_s: float) -> list[Any]:
    """Addresses of a host.

    In a thread, because getaddrinfo(3) knows no limit: the resolver's own is longer than Lambda's init.
    """
    found: list[Any] = []
    done = _thread.allocate_lock()
    done.acquire()

    def ask() -> None:
        try:
            for attempt in range(_NAME_TRIES):
                try:
                    # Bytes: a str would be encoded by the codec idna, which imports re and collections.
                    found[:] = _socket.getaddrinfo(host.encode(), port, 0, _socket.SOCK_STREAM)
                    break
                except OSError as error:
                    found[:] = [error]
                    if error.errno != _socket.EAI_AGAIN or attempt + 1 == _NAME_TRIES:
                        break
                    time.sleep(_NAME_PAUSE_S)
        except ValueError as error:  # a name that is no UTF-8
            found[:] = [OSError(f"{host!r} is no name of a host: {error}")]
        finally:
            done.release()

    _thread.start_new_thread(ask, ())
    if not done.acquire(timeout=max(0.0, deadline_s - time.monotonic())):
        raise TimeoutError(f"{host} has no address yet")
    if isinstance(found[0], OSError):
        raise found[0]
    return found


class Connection:
    """Opens when it is made, to the first address that answers.

    Args:
        peer: where to.
        deadline_s: CLOCK_MONOTONIC at which nothing is waited for any more.
        attempt: how many before this one came to nothing; each was given up sooner than the next.

    Raises:
        OSError: no connection; a certificate that does not fit is a ValueError too.
    """

    def __init__(self, peer: Peer, deadline_s: float, attempt: int = 0) -> None:
        self._deadline_s = deadline_s
        self._stalled_s = min(STALLED_MOST_S, STALLED_S * (1 << attempt))
        self._pending = b""
        self._tls: Any = None
        for number, (family, kind, protocol, _, address) in enumerate(peer.addresses):
            opened: _Socket | None = None
            try:
                opened = _Socket(family, kind | _socket.SOCK_CLOEXEC, protocol)  # no IPv6 here, perhaps
                self._socket = opened
                self._limit()
                opened.connect(address)
                break
            except OSError:
                if opened is not None:
                    opened.close()
                if number + 1 == len(peer.addresses):
                    raise
        try:
            self._socket.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
            if peer.context is not None:
                self._tls = peer.context._wrap_socket(self._socket, False, peer.store.host)
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
        """At most half of what is left, so that another connection has the other half."""
        left_s = self._deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(min(left_s, self._stalled_s, max(_STALLED_LEAST_S, left_s / 2)))
