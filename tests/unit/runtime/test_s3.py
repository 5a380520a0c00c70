"""What goes to S3: the signature is botocore's, TLS is verified, and little is imported for it."""

from __future__ import annotations

import http.server
import json
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from quickthaw import names
from quickthaw.errors import Declined
from quickthaw.runtime import s3
from quickthaw.runtime.connection import Connection, Peer

from tests.conftest import ROOT, find_python
from tests.unit.runtime.test_imports import BEFORE_CRIU, own

KEYS = {
    "AWS_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "s/e+c",
}
BODY = b"what was asked for"


def parsed(request: bytes) -> tuple[str, dict[str, str]]:
    """Target and headers."""
    first, *lines = request.decode("latin-1").split("\r\n")
    assert first.endswith(" HTTP/1.1") and lines[-2:] == ["", ""]
    return first.split()[1], dict(line.split(": ", 1) for line in lines[:-2])


@pytest.mark.parametrize("token", ["", "IQoJb3JpZ2luX2VjEXAMPLE//+="])
@pytest.mark.parametrize("prefix", ["risk/0123", "with space/ü+~=&%/0123"])
@pytest.mark.parametrize(
    "more", [{}, {"AWS_ENDPOINT_URL": "http://localhost:9000/base"}], ids=["aws", "endpoint"]
)
def test_the_signature_is_the_one_of_the_sdk(more: dict[str, str], prefix: str, token: str) -> None:
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    environ = {**KEYS, **more, **({"AWS_SESSION_TOKEN": token} if token else {})}
    store = s3.Store(f"s3://bucket/{prefix}", environ)
    target, headers = parsed(store.request("native/plan", {"range": "bytes=0-9"}))
    scheme = "https" if store.secure else "http"

    class AtThatTime(S3SigV4Auth):
        """Signs with the time of our request."""

        def add_auth(self, request: Any) -> None:
            request.context["timestamp"] = headers["x-amz-date"]
            request.headers["X-Amz-Date"] = headers["x-amz-date"]
            if token:
                request.headers["X-Amz-Security-Token"] = token
            request.headers["X-Amz-Content-SHA256"] = headers["x-amz-content-sha256"]
            canonical = self.canonical_request(request)
            signature = self.signature(self.string_to_sign(request, canonical), request)
            request.headers["Authorization"] = (
                f"AWS4-HMAC-SHA256 Credential={self.scope(request)}, "
                f"SignedHeaders={self.signed_headers(self.headers_to_sign(request))}, Signature={signature}"
            )

    request = AWSRequest("GET", f"{scheme}://{headers['host']}{target}", headers={})
    credentials = Credentials(KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"], token or None)
    AtThatTime(credentials, "s3", "eu-west-1").add_auth(request)
    assert headers["authorization"] == request.headers["Authorization"]
    assert headers["range"] == "bytes=0-9"


@pytest.mark.parametrize(
    ("uri", "more", "host", "target"),
    [
        ("s3://bucket/a/b/", {}, "bucket.s3.eu-west-1.amazonaws.com", "/a/b/m"),
        ("s3://bucket/a", {"AWS_REGION": "cn-north-1"}, "bucket.s3.cn-north-1.amazonaws.com.cn", "/a/m"),
        ("s3://my.bucket/a", {}, "s3.eu-west-1.amazonaws.com", "/my.bucket/a/m"),
        ("s3://bucket/a", {"AWS_ENDPOINT_URL": "https://vpce.example"}, "vpce.example", "/bucket/a/m"),
        ("s3://bucket/a", {"AWS_ENDPOINT_URL": "http://[::1]:90"}, "::1:90", "/bucket/a/m"),
        (
            "s3://bucket/a",
            {"AWS_ENDPOINT_URL": "http://x", "AWS_ENDPOINT_URL_S3": "http://y:8080"},
            "y:8080",
            "/bucket/a/m",
        ),
    ],
)
def test_an_object_is_asked_for_where_the_sdks_ask(
    uri: str, more: dict[str, str], host: str, target: str
) -> None:
    found, headers = parsed(s3.Store(uri, {**KEYS, **more}).request("m", {}))
    assert (headers["host"].replace("[", "").replace("]", ""), found) == (host, target)


@pytest.mark.parametrize("missing", [*KEYS])
def test_without_region_or_keys_the_reason_says_so(missing: str) -> None:
    with pytest.raises(Declined, match="AWS_REGION is not set|no AWS credentials"):
        s3.Store("s3://bucket/a", {**KEYS, missing: ""})


# --- TLS, as every interpreter of Lambda does it --------------------------------------------------------

READ = """
import sys
at_start = set(sys.modules)
sys.path.insert(0, {package!r})
import time
connects = []
sys.addaudithook(lambda event, _: connects.append(event) if event == "socket.connect" else None)
from quickthaw.errors import Declined
from quickthaw.runtime import thaw, handover, remote
from quickthaw.snapshot import plainjson
environ = {environ!r}
try:
    found = remote.Remote("s3://bucket/risk", environ, started_s=0.0, deadline_s=time.monotonic() + 10)
    said = found.transfer.read("manifest.json", 1000).decode()
except Declined as error:
    said = "declined: " + str(error)
print(plainjson.dumps([said, sorted(set(sys.modules) - at_start), len(connects)]))
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that vouches for itself, with its key in the same file."""
    place = tmp_path_factory.mktemp("tls") / "both.pem"
    key = place.with_name("key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command, "-keyout", key, "-out", place], check=True, capture_output=True)
    place.write_bytes(place.read_bytes() + key.read_bytes())
    return place


@pytest.fixture
def server(certificate: Path) -> Iterator[int]:
    """The port of an HTTPS server that has one object."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(BODY)))
            self.end_headers()
            self.wfile.write(BODY)

        def log_message(self, *args: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Clients that do not trust us hang up."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Server(("127.0.0.1", 0), Handler) as https:
        https.socket = context.wrap_socket(https.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=https.serve_forever)
        thread.start()
        yield https.server_port
        https.shutdown()
        thread.join()


def read(python: Path, **environ: str) -> tuple[str, set[str]]:
    """What that interpreter gets of the object, and which modules it loaded."""
    return read_and_count(python, **environ)[:2]


def read_and_count(python: Path, **environ: str) -> tuple[str, set[str], int]:
    """The same, and how often it connected."""
    script = READ.format(package=str(ROOT / "layer" / "python"), environ={**KEYS, **environ})
    command = [str(python), "-I", "-S", "-c", script]
    done = subprocess.run(command, capture_output=True, check=True, env={"PATH": os.defpath}, text=True)
    said, modules, connects = json.loads(done.stdout)
    return said, {name for name in modules if not own(name)}, connects


def test_a_server_with_a_certificate_that_fits_is_believed_and_little_is_imported(
    each_python: Path, server: int, certificate: Path
) -> None:
    endpoint = f"https://localhost:{server}"
    said, modules = read(each_python, AWS_ENDPOINT_URL=endpoint, AWS_CA_BUNDLE=str(certificate))
    assert said == BODY.decode()
    assert modules <= BEFORE_CRIU | {"_hashlib", "_ssl"}, modules - BEFORE_CRIU


def test_a_server_that_nobody_vouches_for_is_not_believed(each_python: Path, server: int) -> None:
    said, _ = read(each_python, AWS_ENDPOINT_URL=f"https://localhost:{server}")
    assert said.startswith("declined: cannot fetch s3://bucket/risk/manifest.json: localhost: ")
    assert "certificate verify failed" in said


def test_a_certificate_of_another_host_is_not_believed(
    each_python: Path, server: int, certificate: Path
) -> None:
    endpoint = f"https://127.0.0.1:{server}"
    said, _ = read(each_python, AWS_ENDPOINT_URL=endpoint, AWS_CA_BUNDLE=str(certificate))
    assert said.startswith("declined: ") and "IP address mismatch" in said


def test_a_bundle_that_cannot_be_read_is_a_reason(server: int) -> None:
    python = find_python("3.12") or find_python("3.11")
    assert python is not None
    said, _ = read(python, AWS_ENDPOINT_URL=f"https://localhost:{server}", AWS_CA_BUNDLE="/nonexistent")
    assert said == "declined: cannot fetch s3://bucket/risk: localhost: No such file or directory"


def test_a_host_that_has_no_address_is_a_reason(each_python: Path) -> None:
    said, _ = read(each_python, AWS_ENDPOINT_URL="http://nowhere.invalid:80")
    assert said.startswith("declined: cannot fetch s3://bucket/risk: nowhere.invalid: ")


def connect_past(address: Any, server: int, certificate: Path) -> None:
    """The server is reached behind an address that is of no use, and by that one alone nothing is."""
    environ = {**KEYS, "AWS_ENDPOINT_URL": f"https://localhost:{server}", "AWS_CA_BUNDLE": str(certificate)}
    deadline_s = time.monotonic() + 10
    peer = Peer(s3.Store("s3://bucket/a", environ), environ, deadline_s)
    peer.addresses = [address, (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server))]
    connection = Connection(peer, deadline_s)
    assert connection.ask(peer.store.request("m", {})).status == 200
    connection.close()
    peer.addresses = [address]
    with pytest.raises(OSError):
        Connection(peer, deadline_s)


def test_the_next_address_is_tried_where_one_does_not_answer(server: int, certificate: Path) -> None:
    """localhost is ::1, too, where this server does not listen."""
    connect_past((socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", server, 0, 0)), server, certificate)


def test_the_next_address_is_tried_where_there_are_no_sockets_of_that_kind(
    server: int, certificate: Path
) -> None:
    """As without IPv6 in the kernel, which the resolver need not know."""
    unknown = (socket.AF_APPLETALK, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server))
    with pytest.raises(OSError):
        socket.socket(*unknown[:3])
    connect_past(unknown, server, certificate)


def test_a_refused_connection_is_tried_once_more(each_python: Path) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    listener.close()
    said, _, connects = read_and_count(each_python, AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}")
    assert said == "declined: cannot fetch s3://bucket/risk/manifest.json: Connection refused"
    assert connects == 2


def test_names_of_a_bucket_begin_as_the_restorer_expects(tmp_path: Path) -> None:
    source = (ROOT / "layer" / "native" / "options.c").read_text()
    assert f'#define IN_S3 "{names.S3}"' in source
