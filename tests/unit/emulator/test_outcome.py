"""What the caller of a function gets, and what the bootstrap's line tells."""

from __future__ import annotations

import pytest
from quickthaw.emulator.api import Call
from quickthaw.emulator.outcome import answer, exited, thaw_line, timed_out


def _call(kind: str, body: bytes) -> Call:
    return Call(kind=kind, at_s=0.0, request_id="r", body=body)  # type: ignore[arg-type]


def test_an_answer_is_decoded() -> None:
    assert answer("r", _call("response", b'{"a": [1, null]}')) == ({"a": [1, None]}, None)


def test_an_answer_that_is_no_json_is_an_error() -> None:
    answered, error = answer("r", _call("response", b"<html>"))
    assert answered is None
    assert error is not None
    assert error["errorType"] == "Runtime.InvalidResponse"


def test_the_functions_own_error_is_passed_on() -> None:
    document = b'{"errorType": "ValueError", "errorMessage": "no", "stackTrace": []}'
    assert answer("r", _call("error", document))[1] == {
        "errorType": "ValueError", "errorMessage": "no", "stackTrace": [],
    }  # fmt: skip


def test_an_error_that_is_no_object_is_still_an_object_for_the_caller() -> None:
    for body in (b"", b"[1]", b"\xff"):
        error = answer("r", _call("error", body))[1]
        assert error is not None
        assert error["errorType"] == "Runtime.Unknown"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (0, "Runtime exited without providing a reason"),
        (None, "Runtime exited without providing a reason"),
        (3, "Runtime exited with error: exit status 3"),
        (137, "Runtime exited with error: signal: killed"),
        (139, "Runtime exited with error: signal: segmentation fault"),
        (128 + 40, "Runtime exited with error: signal: 40"),
    ],
)
def test_the_end_of_a_runtime_is_told_in_lambdas_words(code: int | None, message: str) -> None:
    assert exited(code).message == message
    assert answer("r", exited(code))[1] == {
        "errorType": "Runtime.ExitError", "errorMessage": f"RequestId: r Error: {message}",
    }  # fmt: skip


def test_a_timeout_names_its_seconds() -> None:
    failure = timed_out(3)
    assert failure.message == "Task timed out after 3.00 seconds"
    assert failure.reported_type is None


def test_the_bootstraps_line_is_found_among_others() -> None:
    log = [
        '{"quickthaw": 2}',
        "text",
        '{"quickthaw":1,"engine":"criu"}',
        '{"a":1}',
        '{"quickthaw"',
        '["quickthaw"]',
    ]
    assert thaw_line(log) == {"quickthaw": 1, "engine": "criu"}
    assert thaw_line([]) is None


def test_the_last_of_several_lines_counts() -> None:
    log = ['{"quickthaw":1,"engine":"criu"}', '{"quickthaw":1,"engine":"cold","reason":"it died"}']
    assert (thaw_line(log) or {})["engine"] == "cold"
