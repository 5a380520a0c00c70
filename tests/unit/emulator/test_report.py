"""Lambda's own log lines, byte for byte."""

from __future__ import annotations

import json
import re

import pytest
from quickthaw.emulator.report import Lines, LogFormat, Report, billed_ms, milliseconds

ID = "8286a188-ba32-4475-8077-530cd35c09a9"


def _lines(log_format: LogFormat) -> Lines:
    return Lines(log_format=log_format, function_name="f", runtime_version="python:3.12", memory_size_mb=512)


def _report(**fields: object) -> Report:
    known: dict[str, object] = {
        "request_id": ID, "duration_ms": 8.8, "billed_ms": 9, "memory_size_mb": 512, "max_memory_mb": 91,
    }  # fmt: skip
    return Report(**(known | fields))  # type: ignore[arg-type]


def test_a_warm_report_ends_in_a_tab_as_lambdas_does() -> None:
    assert _lines("Text").report(_report()) == (
        f"REPORT RequestId: {ID}\tDuration: 8.80 ms\tBilled Duration: 9 ms\t"
        "Memory Size: 512 MB\tMax Memory Used: 91 MB\t"
    )


def test_a_cold_report_adds_the_init_duration() -> None:
    line = _lines("Text").report(_report(duration_ms=120235.61, billed_ms=121052, init_ms=816.35))
    assert line.endswith(
        "\tDuration: 120235.61 ms\tBilled Duration: 121052 ms\tMemory Size: 512 MB\t"
        "Max Memory Used: 91 MB\tInit Duration: 816.35 ms\t"
    )


@pytest.mark.parametrize(
    ("duration_ms", "init_ms", "billed"),
    [
        (8.8, None, 9),
        (9.0, None, 9),
        (120235.61, 816.35, 121052),  # chromedp#1074
        (3031.25, 1294.01, 4326),
        (0.1, 0.2, 1),
        (1.1, 1.9, 3),  # 3.0000000000000004 as floats
    ],
)
def test_billed_is_the_sum_rounded_up(duration_ms: float, init_ms: float | None, billed: int) -> None:
    assert billed_ms(duration_ms, init_ms) == billed


def test_durations_have_two_decimals_of_a_millisecond() -> None:
    assert milliseconds(0.0123456) == 12.35


def test_a_timeout_and_a_crash_carry_their_status() -> None:
    timeout = _lines("Text").report(_report(status="timeout"))
    assert timeout.endswith("Max Memory Used: 91 MB\tStatus: timeout")
    crash = _lines("Text").report(_report(status="error", error_type="Runtime.ExitError"))
    assert crash.endswith("Max Memory Used: 91 MB\tStatus: error\tError Type: Runtime.ExitError")


def test_memory_that_could_not_be_read_is_left_out_and_never_zero() -> None:
    assert "Max Memory" not in _lines("Text").report(_report(max_memory_mb=None))
    record = json.loads(_lines("JSON").report(_report(max_memory_mb=None)))["record"]
    assert "maxMemoryUsedMB" not in record["metrics"]


def test_start_end_and_init_lines() -> None:
    lines = _lines("Text")
    assert lines.start(ID) == f"START RequestId: {ID} Version: $LATEST"
    assert lines.end(ID) == f"END RequestId: {ID}"
    assert re.fullmatch(
        r"INIT_START Runtime Version: python:3\.12\tRuntime Version ARN: arn:aws:lambda:[\w:-]+",
        lines.init_start(),
    )
    failed = lines.init_report(10007.33, phase="init", status="timeout", error_type=None)
    assert failed == "INIT_REPORT Init Duration: 10007.33 ms\tPhase: init\tStatus: timeout"
    broken = lines.init_report(1666.62, phase="invoke", status="error", error_type="Runtime.ExitError")
    assert broken == (
        "INIT_REPORT Init Duration: 1666.62 ms\tPhase: invoke\tStatus: error\tError Type: Runtime.ExitError"
    )


def test_the_lines_of_a_failure() -> None:
    lines = _lines("Text")
    message = "Task timed out after 3.00 seconds"
    [timed_out] = lines.failure(ID, message, "Sandbox.Timedout")
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{3}}Z {ID} {re.escape(message)}", timed_out)
    assert lines.failure(ID, "Runtime exited with error: exit status 1", "Runtime.ExitError") == [
        f"RequestId: {ID} Error: Runtime exited with error: exit status 1", "Runtime.ExitError",
    ]  # fmt: skip


def test_the_json_format_has_platform_events() -> None:
    lines = _lines("JSON")
    start = json.loads(lines.start(ID))
    assert (start["type"], start["record"]) == ("platform.start", {"requestId": ID, "version": "$LATEST"})
    assert lines.end(ID) is None
    init = json.loads(lines.init_start())
    assert init["type"] == "platform.initStart"
    assert init["record"]["initializationType"] == "on-demand"
    assert init["record"]["runtimeVersion"] == "python:3.12"
    report = json.loads(lines.report(_report(init_ms=816.35, status="error", error_type="Runtime.ExitError")))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", report["time"])
    assert report["type"] == "platform.report"
    assert report["record"] == {
        "requestId": ID, "status": "error", "errorType": "Runtime.ExitError",
        "metrics": {"durationMs": 8.8, "billedDurationMs": 9, "memorySizeMB": 512, "maxMemoryUsedMB": 91,
                    "initDurationMs": 816.35},
    }  # fmt: skip
    failed = json.loads(lines.init_report(12.5, phase="init", status="error", error_type="Runtime.ExitError"))
    assert failed["type"] == "platform.initReport"
    assert failed["record"]["metrics"] == {"durationMs": 12.5}
