"""Warm-ups leave idle connections: closed before the freeze, and clients connect anew after the thaw."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from quickthaw.errors import CannotFreeze

from tests.integration.wake.conftest import ENGINES, Function

_BOTOCORE = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "python_dateutil", "six", "urllib3")
_REQUESTS = ("requests", "urllib3", "certifi", "idna", "charset_normalizer")
_HTTPX = ("httpx", "httpcore", "h11", "anyio", "idna", "certifi", "typing_extensions")

CLIENTS = {
    "urllib3 pool manager": (
        "import urllib3; POOL = urllib3.PoolManager()",
        "POOL.request('GET', url).data",
        ("urllib3",),
    ),
    "urllib3 pool": (
        "import urllib3; POOL = []",
        "(POOL or POOL.append(urllib3.connection_from_url(url)) or POOL)[0].request('GET', '/').data",
        ("urllib3",),
    ),
    "requests session": (
        "import requests; SESSION = requests.Session()",
        "SESSION.get(url).content",
        _REQUESTS,
    ),
    "botocore client": (
        "import boto3; CLIENTS = []\n"
        "def get(url):\n"
        "    if not CLIENTS: CLIENTS.append(boto3.client('s3', endpoint_url=url))\n"
        "    return CLIENTS[0].get_object(Bucket='bucket', Key='key')['Body'].read()",
        "get(url)",
        _BOTOCORE,
    ),
    "httpx client": ("import httpx; CLIENT = httpx.Client()", "CLIENT.get(url).content", _HTTPX),
    "httpx async client": (
        "import asyncio, httpx; LOOP, CLIENT = asyncio.new_event_loop(), httpx.AsyncClient()",
        "LOOP.run_until_complete(CLIENT.get(url)).content",
        _HTTPX,
    ),
    "http.client connection": (
        "import http.client; MADE = []\n"
        "def get(url):\n"
        "    if not MADE: MADE.append(http.client.HTTPConnection(url.split('/')[2]))\n"
        "    MADE[0].request('GET', '/')\n"
        "    return MADE[0].getresponse().read()",
        "get(url)",
        (),
    ),
}


class Server(ThreadingHTTPServer):
    """Answers every GET with "pong", keeps connections alive, and knows who connected."""

    daemon_threads = True

    def __init__(self) -> None:
        self.requests: list[int] = []  # the client's port of each
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append(self.client_address[1])
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"pong")

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("client", CLIENTS)
def test_an_idle_connection_is_closed_and_the_client_connects_again(
    client: str, function: Function, server: Server
) -> None:
    made, call, packages = CLIENTS[client]
    source = f"{made}\ndef handler(event, context):\n    url = event['url']\n    return ({call}).decode()\n"
    function.write(source, *packages)
    function.freeze({"url": server.url}, {"url": server.url}, layout="lz4")
    assert server.requests[0] == server.requests[1], "the client keeps connections alive"
    for engine in ENGINES:
        server.requests.clear()
        run = function.start(engine, {"url": server.url}, {"url": server.url})
        assert (run.engine, run.answers) == (engine, ("pong", "pong")), run.log
        assert server.requests[0] == server.requests[1], "and goes on to"


def test_a_connection_that_is_in_use_is_refused(function: Function, server: Server) -> None:
    function.write(
        """
        import http.client
        MADE = []
        def handler(event, context):
            MADE.append(http.client.HTTPConnection(event["url"].split("/")[2]))
            MADE[0].request("GET", "/")
            return MADE[0].getresponse().status  # its body stays unread
        """
    )
    port = server.server_address[1]
    with pytest.raises(CannotFreeze, match=f"127.0.0.1:{port}"):
        function.freeze({"url": server.url})
