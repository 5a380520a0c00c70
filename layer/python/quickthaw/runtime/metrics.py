"""CloudWatch metrics of a start, in the embedded metric format: no call, no permission, one log line.

Place in the flow: `wake` (native engine) or `thaw` (criu, cold) hands over the
record of its log line; what comes back are the members that make a metric of
it.  Their names begin with capitals, the record's do not, so both can be one
line: `report.write({**record, **metrics.members(...)})`.

Namespace `Quickthaw`; dimensions and units:

    ThawDuration, DecompressDuration, PageWait, WakeDuration, ColdInitSaved,
    FetchDuration (snapshots in S3)  Milliseconds
        by FunctionName, and by FunctionName and Engine (native, criu); thawed starts only
    Fallback  Count: 1 for a start that should have been a thaw, 0 for a thaw
        by FunctionName, so that its average is the rate of fallbacks;
        1 also by FunctionName, Engine (cold) and Reason
    LostDuration  Milliseconds that such a start lost before its cold start began; as Fallback

`engine off` is a wish and no fallback: such a start has no metrics.  CloudWatch
bills every combination of dimensions as a metric, so `Reason` is one of the few
words of `REASONS`, never the text with its paths and numbers; that stays in the
log line.

Standard library only, and none of it: this runs on the restore path.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

NAMESPACE = "Quickthaw"
DURATIONS = {  # member of the log line, in seconds: metric, in ms
    "total_s": "ThawDuration",
    "fetch_s": "FetchDuration",
    "decompress_s": "DecompressDuration",
    "wait_s": "PageWait",
    "wake_s": "WakeDuration",
    "cold_init_saved_s": "ColdInitSaved",
}
LOST = "LostDuration"
OFF = "engine off"  # the bootstrap's reason when QUICKTHAW_ENGINE says so

# What a reason's text holds, and the word it becomes; the first that fits.
WORDS = (
    ("cannot fetch", "fetch-failed"),
    ("no snapshot at", "no-snapshot"),
    ("no native plan at", "no-snapshot"),
    ("has format", "other-version"),
    ("the snapshot is of", "other-version"),
    ("cpu lacks", "other-machine"),
    ("the snapshot is for", "other-machine"),
    ("when it was frozen", "file-changed"),
    ("when the function was frozen", "file-changed"),
    ("no such file", "file-changed"),
    ("took longer than", "too-slow"),
    ("made no progress", "too-slow"),
    ("times in this environment", "failed-before"),
    ("no space left", "no-room"),
    ("cannot allocate", "no-room"),
    ("unexpected", "defect"),
    ("signal", "defect"),
    ("could not wake", "wake-failed"),
    ("before it woke", "wake-failed"),
    ("quickthaw_", "misconfigured"),
    ("several processes", "misconfigured"),
    ("not in this layer", "not-installed"),
    ("damaged", "damaged"),
    ("checksum", "damaged"),
    ("manifest", "damaged"),
    ("lz4", "damaged"),
    ("block", "damaged"),
    ("pages", "damaged"),
    ("permitted", "not-permitted"),
    ("permission", "not-permitted"),
    ("criu", "criu-failed"),
)
_NO_PRIVILEGE = "CRIU needs CAP_CHECKPOINT_RESTORE"
REASONS = frozenset(word for _, word in WORDS) | {"other"}


def members(record: Mapping[str, object], *, function: str, timestamp_ms: int) -> dict[str, object]:
    """What to add to a log line's record to make metrics of it.

    Args:
        record: the line: `engine`, `reason` and the times in seconds.
        function: name of the function, AWS_LAMBDA_FUNCTION_NAME.
        timestamp_ms: now, milliseconds since 1970.

    Returns:
        `_aws`, dimensions and values; empty for a start with nothing to measure.
    """
    engine, reason = record.get("engine"), record.get("reason")
    values: dict[str, float] = {}
    dimensions: dict[str, str] = {"FunctionName": function}
    if engine == "cold":
        if reason == OFF:
            return {}
        values["Fallback"] = 1
        dimensions["Engine"] = "cold"
        dimensions["Reason"] = word(str(reason or ""))
        lost = record.get("lost_s")
        if isinstance(lost, (int, float)):
            values[LOST] = round(lost * 1000, 3)
    else:
        values["Fallback"] = 0
        dimensions["Engine"] = str(engine)
        for member, metric in DURATIONS.items():
            value = record.get(member)
            if isinstance(value, (int, float)):
                values[metric] = round(value * 1000, 3)
    metrics = [{"Name": name, "Unit": "Count" if name == "Fallback" else "Milliseconds"} for name in values]
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [["FunctionName"], list(dimensions)],
        "Metrics": metrics,
    }
    aws = {"Timestamp": timestamp_ms, "CloudWatchMetrics": [directive]}
    return {"_aws": aws, **dimensions, **values}


def word(reason: str) -> str:
    """One of `REASONS` for the text of a reason.

    Where the native engine declined first and CRIU could not be tried, which is
    every fallback on Lambda, the native engine's reason counts.
    """
    first, _, rest = reason.partition(_NO_PRIVILEGE)
    text = first.lower()
    if not text.strip("; ") and rest:
        return "not-permitted"
    for part, found in WORDS:
        if part in text:
            return found
    return "other"
