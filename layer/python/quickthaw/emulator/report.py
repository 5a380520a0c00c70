"""The lines that Lambda itself writes into a function's log, as text and as JSON.

Formats as seen in CloudWatch (AWS, "Telemetry API event schema reference", and
logs that users show in issue trackers).  Numbers are rounded to Lambda's two
decimals first and billed from the rounded values, so that a reader who adds
Duration and Init Duration gets Billed Duration.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from typing import Literal

Status = Literal["success", "error", "timeout", "failure"]
LogFormat = Literal["Text", "JSON"]

RUNTIME_VERSION_ARN = "arn:aws:lambda:us-east-1::runtime:0000000000000000000000000000000000000000"


def milliseconds(seconds: float) -> float:
    """Lambda's figure for a duration: milliseconds with two decimals."""
    return round(seconds * 1000, 2)


def billed_ms(duration_ms: float, init_ms: float | None) -> int:
    """Whole milliseconds to pay; init is paid for since 2025-08-01."""
    # In hundredths, as integers: 0.1 + 0.2 must not cost a millisecond.
    return math.ceil((round(duration_ms * 100) + round((init_ms or 0) * 100)) / 100)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the REPORT line of one invocation says.

    Attributes:
        max_memory_mb: High-water mark in MiB; None if the process was gone before it could be read.
        init_ms: Only for the first invocation of an environment.
        error_type: As in "Runtime.ExitError"; None unless `status` is "error".
    """

    request_id: str
    duration_ms: float
    billed_ms: int
    memory_size_mb: int
    max_memory_mb: int | None
    init_ms: float | None = None
    status: Status = "success"
    error_type: str | None = None


@dataclass(frozen=True, kw_only=True)
class Lines:
    """Writes log lines in one of Lambda's two formats."""

    log_format: LogFormat
    function_name: str
    runtime_version: str  # as in "python:3.12"
    memory_size_mb: int

    def init_start(self) -> str:
        """At the start of an environment."""
        if self.log_format == "Text":
            version = f"Runtime Version: {self.runtime_version}"
            return f"INIT_START {version}\tRuntime Version ARN: {RUNTIME_VERSION_ARN}"
        return _event("platform.initStart", {
            "initializationType": "on-demand", "phase": "init", "runtimeVersion": self.runtime_version,
            "runtimeVersionArn": RUNTIME_VERSION_ARN, "functionName": self.function_name,
            "functionVersion": "$LATEST", "instanceMaxMemory": self.memory_size_mb << 20,
        })  # fmt: skip

    def init_report(
        self, init_ms: float, *, phase: Literal["init", "invoke"], status: Status, error_type: str | None
    ) -> str:
        """After an init that failed; a good one is told of in REPORT."""
        if self.log_format == "Text":
            line = f"INIT_REPORT Init Duration: {init_ms:.2f} ms\tPhase: {phase}\tStatus: {status}"
            return line + (f"\tError Type: {error_type}" if error_type else "")
        record: dict[str, object] = {
            "initializationType": "on-demand", "phase": phase, "status": status,
            "metrics": {"durationMs": init_ms},
        }  # fmt: skip
        return _event("platform.initReport", record | ({"errorType": error_type} if error_type else {}))

    def start(self, request_id: str) -> str:
        """Before an invocation."""
        if self.log_format == "Text":
            return f"START RequestId: {request_id} Version: $LATEST"
        return _event("platform.start", {"requestId": request_id, "version": "$LATEST"})

    def end(self, request_id: str) -> str | None:
        """After an invocation; the JSON format has no such line."""
        return f"END RequestId: {request_id}" if self.log_format == "Text" else None

    def failure(self, request_id: str, message: str, error_type: str) -> list[str]:
        """What went wrong with the runtime itself; None of it is the function's own output."""
        if error_type == "Sandbox.Timedout":
            return [f"{_now()} {request_id} {message}"]
        return [f"RequestId: {request_id} Error: {message}", error_type]

    def report(self, report: Report) -> str:
        """The line that the bill is made of."""
        return _text(report) if self.log_format == "Text" else _json(report)


def _text(report: Report) -> str:
    line = (
        f"REPORT RequestId: {report.request_id}\tDuration: {report.duration_ms:.2f} ms\t"
        f"Billed Duration: {report.billed_ms} ms\tMemory Size: {report.memory_size_mb} MB\t"
    )
    if report.max_memory_mb is not None:
        line += f"Max Memory Used: {report.max_memory_mb} MB\t"
    if report.init_ms is not None:
        line += f"Init Duration: {report.init_ms:.2f} ms\t"
    if report.status != "success":
        line += f"Status: {report.status}"
    if report.error_type is not None:
        line += f"\tError Type: {report.error_type}"
    return line


def _json(report: Report) -> str:
    metrics: dict[str, object] = {
        "durationMs": report.duration_ms, "billedDurationMs": report.billed_ms,
        "memorySizeMB": report.memory_size_mb,
    }  # fmt: skip
    if report.max_memory_mb is not None:
        metrics["maxMemoryUsedMB"] = report.max_memory_mb
    if report.init_ms is not None:
        metrics["initDurationMs"] = report.init_ms
    record: dict[str, object] = {"requestId": report.request_id, "metrics": metrics, "status": report.status}
    if report.error_type is not None:
        record["errorType"] = report.error_type
    return _event("platform.report", record)


def _event(kind: str, record: dict[str, object]) -> str:
    return json.dumps({"time": _now(), "type": kind, "record": record}, separators=(",", ":"))


def _now() -> str:
    """UTC with milliseconds, as Lambda stamps."""
    seconds = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1000):03d}Z"
