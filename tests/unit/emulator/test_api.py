"""The Runtime API as a client sees it; the clients are http.client and bare sockets."""

from __future__ import annotations

import http.client
import json
import select
import socket
import time
from collections.abc import Iterator
from threading import Thread

import pytest
from quickthaw.emulator.api import MAX_RESPONSE_BYTES, Call, Invocation, RuntimeApi

NEXT = "/2018-06-01/runtime/invocation/next"


@pytest.fixture
def api() -> Iterator[RuntimeApi]:
    with RuntimeApi() as made:
        yield made


def _invocation(name: str = "one") -> Invocation:
    return Invocation(
        request_id=name, event=json.dumps({"name": name}).encode(), deadline_ms=1234, function_arn="arn:f",
        trace_id="Root=1",
    )  # fmt: skip


def _ask(
    api: RuntimeApi, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(api.address, timeout=10)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def _take(api: RuntimeApi) -> Call:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        call = api.take()
        if call is not None:
            return call
        select.select([api.fileno()], [], [], 10)
    raise AssertionError("the API says nothing")


def _answer(api: RuntimeApi, request_id: str, body: bytes, what: str = "response") -> tuple[int, bytes]:
    status, _, text = _ask(api, "POST", f"/2018-06-01/runtime/invocation/{request_id}/{what}", body)
    return status, text


def test_next_hands_out_the_event_with_lambdas_headers(api: RuntimeApi) -> None:
    api.offer(_invocation())
    status, headers, body = _ask(api, "GET", NEXT)
    assert (status, body) == (200, b'{"name": "one"}')
    assert headers["Lambda-Runtime-Aws-Request-Id"] == "one"
    assert headers["Lambda-Runtime-Deadline-Ms"] == "1234"
    assert headers["Lambda-Runtime-Invoked-Function-Arn"] == "arn:f"
    assert headers["Lambda-Runtime-Trace-Id"] == "Root=1"
    assert headers["Content-Type"] == "application/json"
    assert _take(api).kind == "next"


def test_next_waits_for_an_event(api: RuntimeApi) -> None:
    got: list[bytes] = []
    asking = Thread(target=lambda: got.append(_ask(api, "GET", NEXT)[2]))
    asking.start()
    assert _take(api).kind == "next"
    assert got == []
    api.offer(_invocation())
    asking.join(10)
    assert got == [b'{"name": "one"}']


def test_a_response_is_taken_once(api: RuntimeApi) -> None:
    api.offer(_invocation())
    assert _answer(api, "one", b'"fine"') == (202, b'{"status":"OK"}\n')
    call = _take(api)
    assert (call.kind, call.request_id, call.body) == ("response", "one", b'"fine"')
    status, text = _answer(api, "one", b'"again"')
    assert (status, json.loads(text)["errorType"]) == (400, "InvalidRequestID")
    assert api.take() is None


@pytest.mark.parametrize("what", ["response", "error"])
def test_an_unknown_request_is_refused(api: RuntimeApi, what: str) -> None:
    status, text = _answer(api, "unheard-of", b"{}", what)
    assert (status, json.loads(text)["errorType"]) == (400, "InvalidRequestID")
    assert api.take() is None


def test_a_withdrawn_request_is_unknown_and_is_not_handed_out(api: RuntimeApi) -> None:
    api.offer(_invocation("old"))
    api.withdraw("old")
    api.offer(_invocation("new"))
    assert _ask(api, "GET", NEXT)[2] == b'{"name": "new"}'
    assert _answer(api, "old", b"1")[0] == 400


def test_a_response_over_the_limit_is_refused_and_told(api: RuntimeApi) -> None:
    api.offer(_invocation())
    status, text = _answer(api, "one", b"1" * (MAX_RESPONSE_BYTES + 1))
    assert (status, json.loads(text)["errorType"]) == (413, "RequestEntityTooLarge")
    assert _take(api).kind == "too large"


def test_a_response_at_the_limit_is_taken(api: RuntimeApi) -> None:
    api.offer(_invocation())
    assert _answer(api, "one", b"1" * MAX_RESPONSE_BYTES)[0] == 202


def test_errors_carry_their_type(api: RuntimeApi) -> None:
    header = {"Lambda-Runtime-Function-Error-Type": "Runtime.ImportModuleError"}
    for phase in ("init", "restore"):
        assert _ask(api, "POST", f"/2018-06-01/runtime/{phase}/error", b"{}", header)[0] == 202
        call = _take(api)
        assert (call.kind, call.error_type) == (f"{phase} error", "Runtime.ImportModuleError")


def test_restore_next_waits_until_it_is_released(api: RuntimeApi) -> None:
    got: list[int] = []
    asking = Thread(target=lambda: got.append(_ask(api, "GET", "/2018-06-01/runtime/restore/next")[0]))
    asking.start()
    assert _take(api).kind == "restore next"
    assert got == []
    api.release_restore()
    asking.join(10)
    assert got == [200]


@pytest.mark.parametrize("path", ["/", "/2018-06-01/runtime/invocation", "/2018-06-01/runtime/init/error/x"])
def test_other_paths_do_not_exist(api: RuntimeApi, path: str) -> None:
    assert _ask(api, "GET", path)[0] == 404
    assert _ask(api, "POST", path, b"")[0] == 404
    assert api.take() is None


def test_a_chunked_response_is_read_whole(api: RuntimeApi) -> None:
    api.offer(_invocation())
    connection = http.client.HTTPConnection(api.address, timeout=10)
    path = "/2018-06-01/runtime/invocation/one/response"
    connection.request("POST", path, iter([b'{"a"', b": 1}"]), encode_chunked=True)
    assert connection.getresponse().read() == b'{"status":"OK"}\n'
    connection.close()
    assert _take(api).body == b'{"a": 1}'


def test_a_peer_that_hung_up_does_not_steal_an_event(api: RuntimeApi) -> None:
    host, port = api.address.split(":")
    for _ in range(5):
        with socket.create_connection((host, int(port))) as gone:
            gone.sendall(f"GET {NEXT} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert _take(api).kind == "next"
    api.offer(_invocation())
    assert _ask(api, "GET", NEXT)[2] == b'{"name": "one"}'


def test_a_peer_that_dies_with_a_reset_does_not_steal_an_event(api: RuntimeApi) -> None:
    host, port = api.address.split(":")
    with socket.create_connection((host, int(port))) as gone:
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # close() sends RST
        gone.sendall(f"GET {NEXT} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert _take(api).kind == "next"
    api.offer(_invocation())
    assert _ask(api, "GET", NEXT)[2] == b'{"name": "one"}'


def test_headers_and_body_arrive_in_one_piece(api: RuntimeApi) -> None:
    """Two writes would meet Nagle's algorithm and a delayed acknowledgement: 40 ms for each exchange."""
    host, port = api.address.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        for number in range(20):
            api.offer(_invocation(str(number)))
            connection.sendall(f"GET {NEXT} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            piece = connection.recv(1 << 16)
            assert piece.startswith(b"HTTP/1.1 200 ")
            assert piece.endswith(f'{{"name": "{number}"}}'.encode())
            head = f"POST /2018-06-01/runtime/invocation/{number}/response HTTP/1.1\r\nHost: x\r\n"
            connection.sendall(f"{head}Content-Length: 1\r\n\r\n1".encode())
            assert connection.recv(1 << 16).endswith(b'{"status":"OK"}\n')


def test_closing_lets_waiting_clients_go() -> None:
    api = RuntimeApi()
    ended: list[type[BaseException]] = []

    def ask() -> None:
        try:
            _ask(api, "GET", NEXT)
        except (http.client.HTTPException, OSError) as error:
            ended.append(type(error))

    asking = Thread(target=ask)
    asking.start()
    assert _take(api).kind == "next"
    api.close()
    asking.join(10)
    assert len(ended) == 1
