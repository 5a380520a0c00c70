"""AWS's APIs on this machine, behind a proxy that throttles, fails and cuts connections when told to."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import signal
import socket
import struct
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import pytest
from quickthaw import names
from quickthaw.snapshot import manifest

Kind = Literal[
    "throttle", "fail", "cut", "in progress", "failed", "denied", "expired", "other region", "replaced",
    "cut body", "stall", "kill",
]  # fmt: skip
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER 0: the peer sees a reset


REFUSALS: dict[str, tuple[int, str, dict[str, str]]] = {
    "denied": (403, "AccessDenied", {}),
    "expired": (400, "ExpiredToken", {}),
    "other region": (301, "PermanentRedirect", {"x-amz-bucket-region": "eu-west-1"}),
    "replaced": (412, "PreconditionFailed", {}),
}


def owner_of(port: int) -> int:
    """Pid of the process that has a connection from this port of 127.0.0.1."""
    wanted = f"0100007F:{port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    (inode,) = [row[9] for row in rows if row[1] == wanted and row[3] == "01"]  # established
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{fd}") == f"socket:[{inode}]":
                    return int(pid)
    raise AssertionError(f"nobody has the connection from port {port}")


@dataclass
class Fault:
    """What happens to requests that fit, and how often.

    Attributes:
        fits: of method and path with query.
        kind: throttle (429, or 503 SlowDown), fail (500), cut (half of the body is read, then a reset),
            in progress and failed: the answer's LastUpdateStatus; denied (403), expired (400), other
            region (301), replaced (412); cut body: half of the answer, then a reset; stall: half of it,
            then silence; kill: the process that asks is killed.
        times: -1 for always.
    """

    fits: Callable[[str], bool]
    kind: Kind
    times: int = 1


@dataclass
class Proxy:
    """Where to send requests, what came, and what shall go wrong."""

    url: str
    requests: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def count(self, *parts: str) -> int:
        """Requests whose method and path have all of these in them."""
        return sum(all(part in request for part in parts) for request in self.requests)

    def fault(self, request: str) -> Fault | None:
        """The next fault for this request, used up once."""
        for fault in self.faults:
            if fault.times and fault.fits(request):
                fault.times -= 1
                return fault
        return None


@pytest.fixture(scope="session")
def moto_address() -> Iterator[tuple[str, int]]:
    """moto as a server of its own, over HTTP; no function is ever run in it."""
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield host, port
    server.stop()


@pytest.fixture
def aws(moto_address: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """An empty account behind the proxy, and an environment that sends boto3 there, with short pauses."""
    reset = http.client.HTTPConnection(*moto_address)
    reset.request("POST", "/moto-api/reset")
    assert reset.getresponse().status == 200
    reset.close()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def _serve(self) -> None:
            request = f"{self.command} {self.path}"
            proxy.requests.append(request)
            fault = proxy.fault(request)
            size = int(self.headers.get("Content-Length") or 0)
            if fault and fault.kind == "cut":
                self.rfile.read(size // 2)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                self.connection.close()
                self.close_connection = True
                return
            body = self.rfile.read(size)
            if fault and fault.kind in ("throttle", "fail"):
                self._refuse(fault.kind)
                return
            if fault and fault.kind in REFUSALS:
                self._answer_error(*REFUSALS[fault.kind])
                return
            if fault and fault.kind == "kill":
                os.kill(owner_of(self.client_address[1]), signal.SIGKILL)
                self.close_connection = True
                return
            upstream = http.client.HTTPConnection(*moto_address)
            # As it came, Host too: moto finds the bucket in it.
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                upstream.putheader(name, value)
            upstream.endheaders(body)
            answer = upstream.getresponse()
            data = answer.read()
            upstream.close()
            if fault and fault.kind in ("in progress", "failed"):
                document = json.loads(data)
                document["LastUpdateStatus"] = {"in progress": "InProgress", "failed": "Failed"}[fault.kind]
                document["LastUpdateStatusReason"] = "Unzipped size must be smaller than 262144000 bytes"
                data = json.dumps(document).encode()
            kept = {"content-type", "content-range", "etag", "x-amz-version-id", "last-modified"}
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() in kept or name.lower().startswith("x-amz"):
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
            self.send_header("Content-Length", length or "0")
            self.end_headers()
            if fault and fault.kind in ("cut body", "stall"):
                self.wfile.write(data[: len(data) // 2])
                self.wfile.flush()
                if fault.kind == "stall":
                    self.connection.recv(1)  # until the client gives up
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                self.close_connection = True
                return
            if self.command != "HEAD":
                self.wfile.write(data)

        def _answer_error(self, status: int, code: str, headers: dict[str, str]) -> None:
            data = f"<Error><Code>{code}</Code><Message>none</Message></Error>".encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def _refuse(self, kind: str) -> None:
            storage = "/2015-03-31/" not in self.path and "/2018-10-31/" not in self.path
            if storage:
                status, code = (503, "SlowDown") if kind == "throttle" else (500, "InternalError")
                data = f"<Error><Code>{code}</Code><Message>{kind}</Message></Error>".encode()
            else:
                status, code = (
                    (429, "TooManyRequestsException") if kind == "throttle" else (500, "ServiceException")
                )
                data = json.dumps({"Type": "Server", "message": kind}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Content-Type", "application/xml" if storage else "application/json")
            if not storage:
                self.send_header("x-amzn-ErrorType", code)
            self.end_headers()
            self.wfile.write(data)

        def handle_expect_100(self) -> bool:
            going_on = super().handle_expect_100()
            self.wfile.flush()  # else botocore waits a second for it
            return going_on

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _serve

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
    # The pauses between attempts grow to 20 s; their length is AWS's business, their number is ours.
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.01)
    monkeypatch.setattr("quickthaw.publish.attach.POLL_S", 0.01)
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


@pytest.fixture
def function(client: Callable[[str], Any]) -> str:
    """A function with a layer of somebody else's, as a snapshot could be thawed on it."""
    role = client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("app.py", "def handler(event, context): return event\n")
    lambdas = client("lambda")
    other = lambdas.publish_layer_version(LayerName="other", Content={"ZipFile": code.getvalue()})
    lambdas.create_function(
        FunctionName="risk", Runtime="python3.12", Role=role, Handler="app.handler",
        Code={"ZipFile": code.getvalue()}, Layers=[other["LayerVersionArn"]],
        Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": names.BOOTSTRAP_PATH}},
    )  # fmt: skip
    return "risk"


def make_snapshot(place: Path, *, size: int) -> Path:
    """A directory that is whole by its manifest; its pages are noise, which nobody thaws here."""
    import hashlib
    import zlib

    (place / "native").mkdir(parents=True)
    (place / "images").mkdir()
    content = {
        "native/plan": b"plan",
        "native/pages.lz4": os.urandom(size),
        "images/inventory.img": b"inventory",
    }
    for path, data in content.items():
        (place / path).write_bytes(data)
    body = {
        "format": names.FORMAT,
        "id": "0123456789abcdef",
        "tool": {"quickthaw": "0", "criu": "4.1.1"},
        "machine": {"arch": os.uname().machine, "kernel": "", "cpu_flags": []},
        "python": {"tag": "cpython-312", "version": "3.12.1", "executable": "/var/lang/bin/python3.12"},
        "function": {"handler": "app.handler", "cold_init_s": 1.0},
        "process": {"pid": 301, "processes": 1, "pipes": {}},
        "mapped": [],
        "pages": {},
        "files": [
            {
                "path": path,
                "size": len(data),
                "crc32": f"{zlib.crc32(data):08x}",
                "sha256": hashlib.sha256(data).hexdigest(),
            }
            for path, data in content.items()
        ],
    }
    (place / names.MANIFEST).write_bytes(manifest.seal(body))
    return place


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """A small snapshot."""
    return make_snapshot(tmp_path / "snapshot", size=100_000)


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot of 17 MB: three parts of an upload.  Not to be written to."""
    return make_snapshot(tmp_path_factory.mktemp("large") / "snapshot", size=17 << 20)
