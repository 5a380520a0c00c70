"""What can come of an invocation, and what its caller gets to see of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quickthaw.emulator.api import MAX_RESPONSE_BYTES, Call
from quickthaw.emulator.report import Status

# Go's names, in which Lambda's own process tells how a runtime ended.
_SIGNALS = {
    4: "illegal instruction", 5: "trace/breakpoint trap", 6: "aborted", 7: "bus error",
    8: "floating point exception", 9: "killed", 11: "segmentation fault", 13: "broken pipe",
    15: "terminated", 31: "bad system call",
}  # fmt: skip


@dataclass(frozen=True)
class Failure:
    """The runtime did not do its part.

    Attributes:
        status: "timeout" or "error".
        error_type: As Lambda names it, for instance "Runtime.ExitError".
        message: Without the request id.
        answer: The runtime's own words, where it found some before it ended.
    """

    status: Status
    error_type: str
    message: str
    answer: Mapping[str, object] | None = None

    @property
    def reported_type(self) -> str | None:
        """What REPORT names as Error Type; nothing for a timeout."""
        return None if self.status == "timeout" else self.error_type


def timed_out(seconds: float) -> Failure:
    """The function took longer than it may."""
    return Failure("timeout", "Sandbox.Timedout", f"Task timed out after {seconds:.2f} seconds")


def exited(code: int | None) -> Failure:
    """The runtime's process ended; `code` is 128 + n for signal n."""
    if not code:
        message = "Runtime exited without providing a reason"
    elif code > 128:
        message = f"Runtime exited with error: signal: {_SIGNALS.get(code - 128, code - 128)}"
    else:
        message = f"Runtime exited with error: exit status {code}"
    return Failure("error", "Runtime.ExitError", message)


def init_failed(call: Call) -> Failure:
    """The runtime could not load the function and said so."""
    answer = decode_error(call.body)
    error_type = call.error_type or str(answer.get("errorType") or "Runtime.Unknown")
    return Failure("error", error_type, str(answer.get("errorMessage", "")), answer)


def answer(request_id: str, came: Call | Failure) -> tuple[object, Mapping[str, object] | None]:
    """The decoded answer and None, or None and what the caller gets instead."""
    if isinstance(came, Failure):
        if came.answer is not None:
            return None, came.answer
        message = f"RequestId: {request_id} Error: {came.message}"
        return None, {"errorType": came.error_type, "errorMessage": message}
    if came.kind == "too large":
        message = f"Response payload size exceeded maximum allowed payload size ({MAX_RESPONSE_BYTES} bytes)."
        return None, {"errorType": "Function.ResponseSizeTooLarge", "errorMessage": message}
    if came.kind == "error":
        return None, decode_error(came.body)
    try:
        return json.loads(came.body), None
    except ValueError:
        return None, {"errorType": "Runtime.InvalidResponse", "errorMessage": "the response is not JSON"}


def decode_error(body: bytes) -> Mapping[str, object]:
    """The runtime's error document; whatever it is, the caller gets an object."""
    try:
        decoded = json.loads(body)
    except ValueError:
        decoded = None
    if isinstance(decoded, dict):
        return decoded
    return {"errorType": "Runtime.Unknown", "errorMessage": body.decode(errors="replace")}


def thaw_line(log: Sequence[str]) -> Mapping[str, object] | None:
    """The bootstrap's structured line; the last one, should it have changed its mind."""
    for line in reversed(log):
        if line.startswith("{") and '"quickthaw"' in line:
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict) and found.get("quickthaw") == 1:
                return found
    return None
