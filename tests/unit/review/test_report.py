"""Every form of a REPORT that Lambda is known to write, and what must not be taken for one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quickthaw.review.report import Malformed, Report, parse_event, parse_init_text, parse_text

ID = "8f5c4a2e-1b7d-4d3c-9a6e-0f2b4c6d8e10"
TRACE = "1-5759e988-bd862e3fe1be46a994272793"
# text, the event of the same invocation, the record of both
FORMS: dict[str, tuple[str, dict[str, Any], Report]] = {
    "warm": (
        f"REPORT RequestId: {ID}\tDuration: 8.80 ms\tBilled Duration: 9 ms\tMemory Size: 512 MB\t"
        "Max Memory Used: 91 MB\t",
        {"durationMs": 8.8, "billedDurationMs": 9, "memorySizeMB": 512, "maxMemoryUsedMB": 91},
        Report(ID, 8.8, 9, 512, 91),
    ),
    "cold": (
        f"REPORT RequestId: {ID}\tDuration: 120235.61 ms\tBilled Duration: 121052 ms\tMemory Size: 512 MB\t"
        "Max Memory Used: 91 MB\tInit Duration: 816.35 ms\t",
        {
            "durationMs": 120235.61,
            "billedDurationMs": 121052,
            "memorySizeMB": 512,
            "maxMemoryUsedMB": 91,
            "initDurationMs": 816.35,
        },
        Report(ID, 120235.61, 121052, 512, 91, 816.35),
    ),
    "snapstart": (
        f"REPORT RequestId: {ID}\tDuration: 159.87 ms\tBilled Duration: 278 ms\tMemory Size: 1024 MB\t"
        "Max Memory Used: 151 MB\tRestore Duration: 562.43 ms\tBilled Restore Duration: 118 ms\t",
        {
            "durationMs": 159.87,
            "billedDurationMs": 278,
            "memorySizeMB": 1024,
            "maxMemoryUsedMB": 151,
            "restoreDurationMs": 562.43,
            "billedRestoreDurationMs": 118,
        },
        Report(ID, 159.87, 278, 1024, 151, None, 562.43, 118),
    ),
    "timeout": (
        f"REPORT RequestId: {ID}\tDuration: 3000.00 ms\tBilled Duration: 3000 ms\tMemory Size: 128 MB\t"
        "Max Memory Used: 30 MB\tStatus: timeout",
        {
            "durationMs": 3000.0,
            "billedDurationMs": 3000,
            "memorySizeMB": 128,
            "maxMemoryUsedMB": 30,
            "_status": "timeout",
        },
        Report(ID, 3000, 3000, 128, 30, status="timeout"),
    ),
    "error": (
        f"REPORT RequestId: {ID}\tDuration: 12.25 ms\tBilled Duration: 13 ms\tMemory Size: 128 MB\t"
        "Max Memory Used: 30 MB\tStatus: error\tError Type: Runtime.ExitError",
        {
            "durationMs": 12.25,
            "billedDurationMs": 13,
            "memorySizeMB": 128,
            "maxMemoryUsedMB": 30,
            "_status": "error",
            "_errorType": "Runtime.ExitError",
        },
        Report(ID, 12.25, 13, 128, 30, status="error", error_type="Runtime.ExitError"),
    ),
    "traced": (
        f"REPORT RequestId: {ID}\tDuration: 8.80 ms\tBilled Duration: 9 ms\tMemory Size: 512 MB\t"
        f"Max Memory Used: 91 MB\t\nXRAY TraceId: {TRACE}\tSegmentId: 53995c3f42cd8ad8\tSampled: true\t",
        {
            "durationMs": 8.8,
            "billedDurationMs": 9,
            "memorySizeMB": 512,
            "maxMemoryUsedMB": 91,
            "_trace": f"Root={TRACE};Parent=53995c3f42cd8ad8;Sampled=1",
        },
        Report(ID, 8.8, 9, 512, 91, trace_id=TRACE),
    ),
}


def event_of(fields: dict[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = {
        "requestId": ID,
        "metrics": {key: value for key, value in fields.items() if not key.startswith("_")},
        "status": fields.get("_status", "success"),
    }
    if "_errorType" in fields:
        record["errorType"] = fields["_errorType"]
    if "_trace" in fields:
        record["tracing"] = {"spanId": "565c05ab", "type": "X-Amzn-Trace-Id", "value": fields["_trace"]}
    return {"time": "2026-10-08T07:30:29.470Z", "type": "platform.report", "record": record}


@pytest.mark.parametrize("form", FORMS)
def test_text_and_event_of_one_invocation_give_the_same_record(form: str) -> None:
    text, fields, wanted = FORMS[form]
    assert parse_text(text) == wanted
    assert parse_event(event_of(fields)) == wanted


def test_spaces_instead_of_tabs_and_another_order_change_nothing() -> None:
    text = (
        f"REPORT RequestId: {ID}  Init Duration: 0.47 ms  Duration: 633.33 ms Billed Duration: 634 ms "
        "Memory Size: 3008 MB    Max Memory Used: 3008 MB    "
    )
    assert parse_text(text) == Report(ID, 633.33, 634, 3008, 3008, 0.47)


def test_the_restore_is_inside_the_bill_and_not_added_to_it() -> None:
    assert FORMS["snapstart"][2].billed_ms == 278
    assert parse_text(FORMS["snapstart"][0]).billed_ms == 278


def test_a_bare_duration_is_not_found_inside_other_labels() -> None:
    text = (
        f"REPORT RequestId: {ID}\tBilled Duration: 9 ms\tInit Duration: 5.00 ms\tRestore Duration: 6.00 ms\t"
        "Billed Restore Duration: 7 ms\tExtension Overhead Duration: 8.00 ms\tMemory Size: 512 MB"
    )
    report = parse_text(text)
    assert report.duration_ms is None
    assert (report.billed_ms, report.init_ms, report.restore_ms, report.billed_restore_ms) == (9, 5, 6, 7)


def test_what_is_missing_is_none() -> None:
    assert parse_text(f"REPORT RequestId: {ID}\tDuration: 1.00 ms") == Report(ID, 1.0)


@pytest.mark.parametrize(
    "text",
    [
        f"REPORT RequestId: {ID}",
        f"REPORT RequestId: {ID} Task timed out after 3.00 seconds",
        f"REPORT RequestId: {ID}\tDuration: 12",
        f"REPORT RequestId: {ID}\tDuration: fast ms\tBilled Duration: 9 ms",
        f"REPORT RequestId: {ID}\tDuration: 9 s\tBilled Duration: 9 ms",
        f"REPORT RequestId: {ID}\tDuration: -1.00 ms\tBilled Duration: 9 ms",
        f"REPORT RequestId: {ID}\tDuration: 1.2.3 ms\tBilled Duration: 9 ms",
        f"REPORT RequestId: {ID}\tMemory Size: 128 MB\tMax Memory Used: 30 MB",
        "REPORT Duration: 64754.09 ms  Billed Duration: 64755 ms",
    ],
)
def test_a_line_that_cannot_be_read_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        parse_text(text)


@pytest.mark.parametrize(
    "metrics", [None, 5, {}, {"durationMs": "9"}, {"durationMs": True}, {"durationMs": -1}]
)
def test_an_event_that_cannot_be_read_is_malformed(metrics: object) -> None:
    with pytest.raises(Malformed):
        parse_event({"type": "platform.report", "record": {"requestId": ID, "metrics": metrics}})


def test_a_number_that_is_none_is_malformed() -> None:
    nan = json.loads('{"record": {"requestId": "a", "metrics": {"durationMs": NaN}}}')
    with pytest.raises(Malformed):
        parse_event(nan)


def test_a_failed_init_tells_phase_and_status() -> None:
    text = "INIT_REPORT Init Duration: 10007.33 ms\tPhase: init\tStatus: timeout"
    assert parse_init_text(text) == (10007.33, "init", "timeout")
    assert parse_init_text("INIT_REPORT Init Duration: 9908.09 ms") == (9908.09, None, None)


milliseconds = st.integers(0, 90_000_000).map(lambda hundredths: hundredths / 100)
reports = st.builds(
    Report,
    request_id=st.uuids().map(str),
    duration_ms=milliseconds,
    billed_ms=st.none() | st.integers(0, 900_000).map(float),
    memory_mb=st.none() | st.integers(128, 10240).map(float),
    max_memory_mb=st.none() | st.integers(1, 10240).map(float),
    init_ms=st.none() | milliseconds,
    restore_ms=st.none() | milliseconds,
    billed_restore_ms=st.none() | st.integers(0, 900_000).map(float),
    status=st.none() | st.sampled_from(["timeout", "error", "failure"]),
    error_type=st.none() | st.sampled_from(["Runtime.ExitError", "Function.ResponseSizeTooLarge"]),
    trace_id=st.none() | st.uuids().map(lambda u: f"1-{u.hex[:8]}-{u.hex[8:]}"),
)


def text_of(report: Report, gap: str) -> str:
    """Writes a report as Lambda would."""
    fields = [f"REPORT RequestId: {report.request_id}"]
    for label, value, unit in (
        ("Duration", report.duration_ms, "ms"),
        ("Billed Duration", report.billed_ms, "ms"),
        ("Memory Size", report.memory_mb, "MB"),
        ("Max Memory Used", report.max_memory_mb, "MB"),
        ("Init Duration", report.init_ms, "ms"),
        ("Restore Duration", report.restore_ms, "ms"),
        ("Billed Restore Duration", report.billed_restore_ms, "ms"),
    ):
        if value is not None:
            whole = unit == "MB" or label.startswith("Billed")
            fields.append(f"{label}: {value:.0f} {unit}" if whole else f"{label}: {value:.2f} {unit}")
    for label, word in (("Status", report.status), ("Error Type", report.error_type)):
        if word is not None:
            fields.append(f"{label}: {word}")
    if report.trace_id is not None:
        fields.append(f"\nXRAY TraceId: {report.trace_id}")
    return gap.join(fields)


@given(report=reports, gap=st.sampled_from(["\t", " ", "  ", " \t"]))
def test_every_report_that_lambda_could_write_is_read_back(report: Report, gap: str) -> None:
    assert parse_text(text_of(report, gap)) == report


@given(st.text())
def test_no_text_at_all_breaks_the_parser(text: str) -> None:
    try:
        report = parse_text("REPORT RequestId: " + text)
    except Malformed:
        return
    numbers = [value for value in report[1:8] if value is not None]
    assert all(isinstance(value, float) and value >= 0 for value in numbers)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    record=json_values
    | st.fixed_dictionaries(
        {},
        optional={
            "requestId": json_values,
            "metrics": json_values
            | st.dictionaries(
                st.sampled_from(["durationMs", "billedDurationMs", "initDurationMs"]), json_values
            ),
            "status": json_values,
            "tracing": json_values,
        },
    )
)
def test_no_event_at_all_breaks_the_parser(record: object) -> None:
    try:
        parse_event({"type": "platform.report", "record": record})
    except Malformed:
        return
