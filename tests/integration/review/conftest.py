"""A server of the AWS APIs on this machine, and a proxy before it that remembers and misbehaves."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass
class Proxy:
    """Where to send requests, what was asked, and what to answer instead.

    Attributes:
        url: endpoint for boto3.
        requests: (operation, parameters) of every JSON request, in order.
        answers: per operation, answers given one after another instead of the server's; an
            answer is (status, body).  The server is asked once they are used up.
    """

    url: str
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    answers: dict[str, list[tuple[int, dict[str, Any]]]] = field(default_factory=dict)

    def of(self, operation: str) -> list[dict[str, Any]]:
        """Parameters of all requests of one operation."""
        return [parameters for name, parameters in self.requests if name == operation]


@pytest.fixture(scope="session")
def moto_address() -> Iterator[tuple[str, int]]:
    """moto as a server of its own, over HTTP."""
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield host, port
    server.stop()


@pytest.fixture
def aws(moto_address: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """An empty account behind a proxy, and an environment that sends boto3 and the command line there."""
    reset = http.client.HTTPConnection(*moto_address)
    reset.request("POST", "/moto-api/reset")
    assert reset.getresponse().status == 200
    reset.close()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            operation = self.headers.get("X-Amz-Target", f"{self.command} {self.path}").rpartition(".")[2]
            if self.headers.get("X-Amz-Target"):
                proxy.requests.append((operation, json.loads(body or b"{}")))
            if canned := proxy.answers.get(operation):
                status, document = canned.pop(0)
                self._reply(status, json.dumps(document).encode(), "application/x-amz-json-1.1")
                return
            upstream = http.client.HTTPConnection(*moto_address)
            upstream.request(self.command, self.path, body, dict(self.headers.items()))
            answer = upstream.getresponse()
            data = answer.read()
            upstream.close()
            self._reply(answer.status, data, answer.getheader("Content-Type", "application/json"))

        def _reply(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = _forward

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy = Proxy(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    for name, value in {
        "AWS_ENDPOINT_URL": proxy.url,
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    }.items():
        monkeypatch.setenv(name, value)
    yield proxy
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client(aws: Proxy) -> Iterator[Callable[[str], Any]]:
    """Makes boto3 clients of the account, and closes them."""
    import boto3

    made: list[Any] = []

    def make(service: str) -> Any:
        made.append(boto3.client(service))  # type: ignore[call-overload]
        return made[-1]

    yield make
    for one in made:
        one.close()
