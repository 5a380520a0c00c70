"""The Runtime API over real HTTP, as much of it as a runtime client uses.

One server per environment.  Handler threads only speak HTTP: what they hear
becomes a `Call` in a queue, what they may hand out is an `Invocation` that was
offered; `run` decides.  Latency matters more than anything here: each answer
is one buffered write with Nagle off, or every request costs 40 ms.

An event is handed only to a peer that is still there.  A runtime that was
killed while it waited leaves a handler thread behind, and that thread must not
take the event meant for its successor.

Rejected: an asyncio server (slower to first byte, nothing to gain with one
client), `queue.Queue` for the hand-over (a handler could not watch its
connection at the same time).
"""

from __future__ import annotations

import json
import os
import select
import socket
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Literal

from quickthaw.names import RUNTIME_API

MAX_RESPONSE_BYTES = 6 * 1024 * 1024 + 100  # 6291556: AWS, "maximum allowed payload size"
MAX_EVENT_BYTES = 6 * 1024 * 1024
VERSION = "2018-06-01"

Request = socket.socket | tuple[bytes, socket.socket]  # socketserver's word for a connection
Kind = Literal["next", "response", "too large", "error", "init error", "restore next", "restore error"]


@dataclass(kw_only=True)
class Invocation:
    """One event on its way to the runtime; `sent_s` is set when it is handed out (CLOCK_MONOTONIC)."""

    request_id: str
    event: bytes
    deadline_ms: int
    function_arn: str
    trace_id: str
    sent_s: float | None = None

    def headers(self) -> dict[str, str]:
        """What the runtime gets beside the event."""
        return {
            "Lambda-Runtime-Aws-Request-Id": self.request_id,
            "Lambda-Runtime-Deadline-Ms": str(self.deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": self.function_arn,
            "Lambda-Runtime-Trace-Id": self.trace_id,
            "Content-Type": "application/json",
        }


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request of the runtime that somebody has to act on; `at_s` is CLOCK_MONOTONIC."""

    kind: Kind
    at_s: float
    request_id: str | None = None
    body: bytes = b""
    error_type: str | None = None


class RuntimeApi:
    """A Runtime API on loopback; a context manager that ends all its threads' use.

    On Lambda's own address, or on a free port where another environment has that.

    Attributes:
        address: "host:port", the value of AWS_LAMBDA_RUNTIME_API.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: deque[Call] = deque()
        self._offers: deque[Invocation] = deque()
        self._running: set[str] = set()
        self._waiting: set[int] = set()
        self._closed = False
        self._called = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._restore = threading.Event()
        self._server = _listen(self)
        self._port = int(self._server.server_address[1])
        self.address = f"127.0.0.1:{self._port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 3600}, name="runtime-api", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> RuntimeApi:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and let go every handler that waits."""
        stopper = threading.Thread(target=self._server.shutdown, daemon=True)
        stopper.start()
        while self._thread.is_alive():
            # serve_forever looks at its flag only after something has happened.
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port)):
                self._thread.join(0.01)
        stopper.join()
        self._restore.set()
        self._server.hang_up()
        self._server.server_close()
        with self._lock:
            self._closed = True
            os.close(self._called)

    def fileno(self) -> int:
        """A descriptor that polls readable while there are calls."""
        return self._called

    def take(self) -> Call | None:
        """The oldest call that nobody has taken."""
        with self._lock:
            if self._calls:
                return self._calls.popleft()
            with suppress(BlockingIOError):
                os.eventfd_read(self._called)
            return None

    def offer(self, invocation: Invocation) -> None:
        """Give an event to the next runtime that asks, or that asks already."""
        with self._lock:
            self._offers.append(invocation)
            self._running.add(invocation.request_id)
            self._wake_waiting()

    def withdraw(self, request_id: str) -> None:
        """Forget an invocation: later answers to it are rejected as unknown."""
        with self._lock:
            self._running.discard(request_id)
            self._offers = deque(offer for offer in self._offers if offer.request_id != request_id)

    def release_restore(self) -> None:
        """Answer those who wait in restore/next."""
        self._restore.set()

    def _wake_waiting(self) -> None:
        for waiter in self._waiting:
            os.eventfd_write(waiter, 1)

    # --- what handlers use -----------------------------------------------------------

    def call(self, call: Call) -> None:
        with self._lock:
            if not self._closed:
                self._calls.append(call)
                os.eventfd_write(self._called, 1)

    def finish(self, request_id: str) -> bool:
        """True exactly once for an invocation that runs."""
        with self._lock:
            known = request_id in self._running
            self._running.discard(request_id)
            return known

    def wait_for_offer(self, connection: socket.socket) -> Invocation | None:
        """Wait for an event; None when the peer hangs up first."""
        waiter = os.eventfd(0, os.EFD_CLOEXEC)
        try:
            with self._lock:
                self._waiting.add(waiter)
                if self._offers:
                    os.eventfd_write(waiter, 1)
            while True:
                readable, _, _ = select.select([connection.fileno(), waiter], [], [])
                if connection.fileno() in readable and _hung_up(connection):
                    return None
                with self._lock:
                    if self._offers:
                        return self._offers.popleft()
                    if waiter in readable:
                        os.eventfd_read(waiter)
        finally:
            with self._lock:
                self._waiting.discard(waiter)
            os.close(waiter)

    def give_back(self, invocation: Invocation) -> None:
        """The peer was gone before it had the event: somebody else gets it."""
        with self._lock:
            invocation.sent_s = None
            self._offers.appendleft(invocation)
            self._wake_waiting()

    def wait_for_restore(self) -> None:
        self._restore.wait()


def _hung_up(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _listen(api: RuntimeApi) -> _Server:
    usual = int(RUNTIME_API.rpartition(":")[2])
    try:
        return _Server(api, usual)
    except OSError:
        return _Server(api, 0)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a handler may wait in read() for a client that lives on

    def __init__(self, api: RuntimeApi, port: int) -> None:
        self.api = api
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Request, client_address: object) -> None:
        assert isinstance(request, socket.socket)
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Request) -> None:
        assert isinstance(request, socket.socket)
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """A peer that was killed in mid-sentence is our daily bread, not worth a traceback."""

    def hang_up(self) -> None:
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # with flush() this makes one segment of headers and body
    server: _Server

    def parse_request(self) -> bool:
        self.arrived_s = time.monotonic()
        return super().parse_request()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        api = self.server.api
        if path == f"/{VERSION}/runtime/invocation/next":
            api.call(Call(kind="next", at_s=self.arrived_s))
            self._hand_out(api)
        elif path == f"/{VERSION}/runtime/restore/next":
            api.call(Call(kind="restore next", at_s=self.arrived_s))
            api.wait_for_restore()
            self._reply(200, b"")
        else:
            self._refuse(404, "InvalidPath", f"no such path: {path}")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = self._chunks()
        at_s = time.monotonic()
        error_type = self.headers.get("Lambda-Runtime-Function-Error-Type")
        match self.path.partition("?")[0].strip("/").split("/"):
            case [version, "runtime", "invocation", request_id, "response" | "error" as what] if (
                version == VERSION
            ):
                self._finish(request_id, Call(
                    kind="response" if what == "response" else "error", at_s=at_s, request_id=request_id,
                    body=body, error_type=error_type,
                ))  # fmt: skip
            case [_, "runtime", "init" | "restore" as what, "error"]:
                kind: Kind = "init error" if what == "init" else "restore error"
                self.server.api.call(Call(kind=kind, at_s=at_s, body=body, error_type=error_type))
                self._accept()
            case _:
                self._refuse(404, "InvalidPath", f"no such path: {self.path}")

    def _hand_out(self, api: RuntimeApi) -> None:
        invocation = api.wait_for_offer(self.connection)
        if invocation is None:
            self.close_connection = True
            return
        invocation.sent_s = time.monotonic()
        try:
            self._reply(200, invocation.event, invocation.headers())
        except OSError:
            api.give_back(invocation)
            raise

    def _finish(self, request_id: str, call: Call) -> None:
        api = self.server.api
        if not api.finish(request_id):
            self._refuse(400, "InvalidRequestID", f"no invocation {request_id} is running")
        elif len(call.body) > MAX_RESPONSE_BYTES:
            api.call(Call(kind="too large", at_s=call.at_s, request_id=request_id))
            self._refuse(413, "RequestEntityTooLarge", f"the response exceeds {MAX_RESPONSE_BYTES} bytes")
        else:
            api.call(call)
            self._accept()

    def _chunks(self) -> bytes:
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            continue  # trailers
        return b"".join(parts)

    def _accept(self) -> None:
        self._reply(202, b'{"status":"OK"}\n', {"Content-Type": "application/json"})

    def _refuse(self, status: int, error_type: str, message: str) -> None:
        body = json.dumps({"errorType": error_type, "errorMessage": message}).encode()
        self._reply(status, body, {"Content-Type": "application/json"})

    def _reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the log belongs to the function."""
