"""One REPORT record, read from the text line or from the `platform.report` event.

Place in the flow: the innermost step of a review; `scan` finds the lines and
calls `parse_text` or `parse_event`.

Invariants: what a line does not say is None, never 0.  The same invocation
gives the same record in both formats, so a success is status None (the text
line never says it).  A label is read as a whole, so the bare `Duration:` can
be found inside neither `Billed Duration:` nor a label of the future such as
`Extension Duration:`.

`Billed Duration` is taken as the whole bill.  For SnapStart it already holds
`Billed Restore Duration`: 159.87 ms of handler and 118 ms of billed restore
are logged as Billed Duration 278.  Adding the two, as aws-lambda-power-tuning
does, counts the restore twice.

Rejected: one large regular expression with optional groups for all fields.
It has to fix an order of fields, and Lambda's has changed before (the runtime
emulator writes Init Duration first, Lambda writes it last).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

# A run of capitalised words, a colon, a value, perhaps a unit.  Values hold no
# blanks in any known form.
_FIELD = re.compile(r"((?:[A-Z][A-Za-z]*[ ])*[A-Z][A-Za-z]*):[ \t]*([^\s,\"]+)(?:[ ]+(ms|MB)\b)?")
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_TRACE_ROOT = re.compile(r"Root=([^;]+)")

_TEXT_FIELDS = {  # label: (field, unit)
    "Duration": ("duration_ms", "ms"),
    "Billed Duration": ("billed_ms", "ms"),
    "Memory Size": ("memory_mb", "MB"),
    "Max Memory Used": ("max_memory_mb", "MB"),
    "Init Duration": ("init_ms", "ms"),
    "Restore Duration": ("restore_ms", "ms"),
    "Billed Restore Duration": ("billed_restore_ms", "ms"),
}
_METRICS = {
    "durationMs": "duration_ms",
    "billedDurationMs": "billed_ms",
    "memorySizeMB": "memory_mb",
    "maxMemoryUsedMB": "max_memory_mb",
    "initDurationMs": "init_ms",
    "restoreDurationMs": "restore_ms",
    "billedRestoreDurationMs": "billed_restore_ms",
}


class Report(NamedTuple):
    """What Lambda said of one invocation.  A named tuple because millions are made per review.

    Attributes:
        request_id: the invocation.
        duration_ms: time in the handler.
        billed_ms: the bill, INIT and billed restore included where Lambda bills them.
        memory_mb: configured memory.
        max_memory_mb: peak memory of the environment so far.
        init_ms: only on the first invocation of an environment; a CRIU or native thaw shows up here.
        restore_ms: SnapStart restore; only then.
        billed_restore_ms: the part of `billed_ms` that is restore.
        status: `timeout`, `error`, ...; None means success.
        error_type: such as `Runtime.ExitError`.
        trace_id: X-Ray trace, when the function is traced.
    """

    request_id: str
    duration_ms: float | None = None
    billed_ms: float | None = None
    memory_mb: float | None = None
    max_memory_mb: float | None = None
    init_ms: float | None = None
    restore_ms: float | None = None
    billed_restore_ms: float | None = None
    status: str | None = None
    error_type: str | None = None
    trace_id: str | None = None


class Malformed(ValueError):
    """A line that claims to be a REPORT and cannot be read; the text says what is wrong with it."""


class InitReport(NamedTuple):
    """INIT_REPORT, or `platform.initReport`: written for an init that failed, and for SnapStart's own."""

    init_ms: float | None
    phase: str | None
    status: str | None


def parse_text(text: str) -> Report:
    """Reads a text REPORT; `text` starts at `REPORT RequestId:` and may run on over an X-Ray line.

    Raises:
        Malformed: no request id, an unreadable number, or neither duration nor bill.
    """
    numbers: dict[str, float] = {}
    words: dict[str, str] = {}
    for label, value, unit in _FIELD.findall(text):
        known = _TEXT_FIELDS.get(label)
        if known is None:
            words.setdefault(label, value)
            continue
        field, wanted = known
        if not _NUMBER.fullmatch(value) or unit != wanted:
            raise Malformed(f"{label} is not a number of {wanted}: {' '.join((value, unit)).strip()}")
        numbers.setdefault(field, float(value))
    request_id = words.get("REPORT RequestId")
    if not request_id:
        raise Malformed("no request id")
    return _checked(
        Report(
            request_id,
            **numbers,
            status=_failure(words.get("Status")),
            error_type=words.get("Error Type"),
            trace_id=words.get("XRAY TraceId"),
        )
    )


def parse_event(event: Mapping[str, object]) -> Report:
    """Reads a `platform.report` event of Lambda's JSON log format or of the Telemetry API.

    Raises:
        Malformed: as for `parse_text`.
    """
    record = event.get("record")
    if not isinstance(record, Mapping):
        raise Malformed("platform.report without a record")
    request_id = record.get("requestId")
    if not isinstance(request_id, str) or not request_id:
        raise Malformed("no request id")
    metrics = record.get("metrics")
    if not isinstance(metrics, Mapping):
        raise Malformed("platform.report without metrics")
    numbers: dict[str, float] = {}
    for key, field in _METRICS.items():
        value = metrics.get(key)
        if value is None:
            continue
        # NaN fails the comparison too; bool is an int in Python and none in a log
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise Malformed(f"{key} is not a number: {value!r}")
        numbers[field] = float(value)
    tracing = record.get("tracing")
    root = _TRACE_ROOT.search(str(tracing.get("value"))) if isinstance(tracing, Mapping) else None
    return _checked(
        Report(
            request_id,
            **numbers,
            status=_failure(_word(record.get("status"))),
            error_type=_word(record.get("errorType")),
            trace_id=root[1] if root else None,
        )
    )


def parse_init_text(text: str) -> InitReport:
    """Reads `INIT_REPORT Init Duration: 10007.33 ms Phase: init Status: timeout`; any may be missing."""
    fields = {label.removeprefix("REPORT "): value for label, value, _ in _FIELD.findall(text)}
    value = fields.get("Init Duration", "")
    init_ms = float(value) if _NUMBER.fullmatch(value) else None
    return InitReport(init_ms, fields.get("Phase"), _failure(fields.get("Status")))


def parse_init_event(event: Mapping[str, object]) -> InitReport:
    """Reads a `platform.initReport` event."""
    record = event.get("record")
    if not isinstance(record, Mapping):
        return InitReport(None, None, None)
    metrics = record.get("metrics")
    value = metrics.get("durationMs") if isinstance(metrics, Mapping) else None
    init_ms = float(value) if isinstance(value, int | float) else None
    return InitReport(init_ms, _word(record.get("phase")), _failure(_word(record.get("status"))))


def _checked(report: Report) -> Report:
    if report.duration_ms is None and report.billed_ms is None:
        raise Malformed("neither Duration nor Billed Duration")
    return report


def _failure(status: str | None) -> str | None:
    return None if status is None or status.lower() == "success" else status.lower()


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
