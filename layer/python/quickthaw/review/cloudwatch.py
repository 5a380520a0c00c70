"""Reads starts from CloudWatch Logs: every line, or sums made by Logs Insights.

Place in the flow: the remote counterpart of `sources`; both end in a ledger.

Raw lines (`read`) are the default: FilterLogEvents with a pattern that lets
through REPORT, INIT_REPORT and bootstrap lines, page by page, botocore
retrying when AWS throttles.  Each event names its stream, so a bootstrap line
and its first REPORT find each other, and so does a version, which is part of
the stream's name.

`aggregate` lets Logs Insights do the counting and fetches a histogram of
billed ms instead of lines: `stats count(*) by billed, memory, kind`.  Billed
ms are whole numbers, so the figures are exactly those of the raw lines, for a
fraction of the transfer.  What it cannot do is to tell a thawed start from a
cold one, which takes two lines; a doubt says so when there were thaws.
Rejected: Insights' own `pct()`; it is an estimate and allows no interval.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ..errors import QuickthawError, ToolFailed, Unavailable, UsageError
from .ledger import Ledger
from .scan import Kind, Scanner

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient

PATTERN = '?"REPORT RequestId" ?"INIT_REPORT" ?"quickthaw" ?"platform.report" ?"platform.initReport"'
_LIMIT = 10_000  # rows that Logs Insights gives at most
_QUERY_TIMEOUT_S = 15 * 60.0  # Insights itself gives up after 60 minutes

_STARTS = """\
filter (@type = "REPORT" or type = "platform.report"){versions}
| parse @message /Restore Duration: (?<restored>[0-9.]+) ms/
| fields coalesce(@billedDuration, record.metrics.billedDurationMs) as billed,
    coalesce(@memorySize / 1000000, record.metrics.memorySizeMB) as memory,
    ispresent(@initDuration) or ispresent(record.metrics.initDurationMs) as cold,
    ispresent(restored) or ispresent(record.metrics.restoreDurationMs) as snapstart
| stats count(*) as n by billed, memory, cold, snapstart
| sort n desc
| limit {limit}"""
_BOOTS = """\
filter quickthaw = 1{versions}
| stats count(*) as n by engine, reason
| sort n desc
| limit 200"""

_VERSION = re.compile(r"\[(\$LATEST|\d+)\]")
_AGO = re.compile(r"(\d+)\s*([mhdw])", re.ASCII)
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which events: a log group, a time, and versions (empty: all)."""

    log_group: str
    start: datetime
    end: datetime
    versions: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        versions = f" version {', '.join(self.versions)}" if self.versions else ""
        return f"{self.log_group}{versions} {self.start:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M} UTC"


def moment(text: str, now: datetime) -> datetime:
    """Reads `90m`, `12h`, `7d`, `2w` (before now) or an ISO date or time (UTC unless it says otherwise).

    Raises:
        UsageError: neither.
    """
    if ago := _AGO.fullmatch(text.strip()):
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"not a time: {text}", hint="Give e.g. 90m, 12h, 7d, 2w, 2026-10-01 or 2026-10-01T12:00+02:00."
        ) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def log_group_of(client: LambdaClient, function: str) -> str:
    """The log group that a function writes to.

    Raises:
        QuickthawError: AWS says no.
    """
    with explained(f"function {function}"):
        configuration = client.get_function_configuration(FunctionName=function)
    logging: Any = configuration.get("LoggingConfig") or {}
    name = configuration.get("FunctionName", function)
    return str(logging.get("LogGroup") or f"/aws/lambda/{name}")


def versions_of(client: LambdaClient, function: str, alias: str) -> tuple[str, ...]:
    """The versions behind an alias: one, or two while traffic is being shifted.

    Raises:
        QuickthawError: AWS says no.
    """
    with explained(f"alias {alias} of {function}"):
        found = client.get_alias(FunctionName=function, Name=alias)
    routing: Any = found.get("RoutingConfig") or {}
    return (found["FunctionVersion"], *sorted(routing.get("AdditionalVersionWeights") or ()))


def read(
    client: CloudWatchLogsClient, selection: Selection, progress: Callable[[int], None] = lambda _: None
) -> Ledger:
    """Reads every matching event.

    Args:
        client: its retry settings are the caller's; `clients` makes one that waits out throttling.
        selection: which events.
        progress: called with the number of events just read.

    Raises:
        QuickthawError: AWS says no.
    """
    ledger, scanner = Ledger(selection.name), Scanner()
    pages = client.get_paginator("filter_log_events").paginate(
        logGroupName=selection.log_group,
        startTime=_milliseconds(selection.start),
        endTime=_milliseconds(selection.end),
        filterPattern=PATTERN,
    )
    with explained(f"log group {selection.log_group}"):
        for page in pages:
            events = page.get("events", [])
            for event in events:
                stream = event.get("logStreamName", "")
                if selection.versions and not _is_version(stream, selection.versions):
                    continue
                for entry in scanner.event(event.get("message", ""), stream):
                    ledger.add(entry)
            progress(len(events))
    _finish(ledger, scanner, selection)
    return ledger


def aggregate(
    client: CloudWatchLogsClient, selection: Selection, *, wait: Callable[[float], None] = time.sleep
) -> Ledger:
    """Lets Logs Insights count, and reads the histogram.

    Args:
        client: as for `read`.
        selection: which events.
        wait: sleeps between two looks at a running query, in seconds.

    Raises:
        QuickthawError: AWS says no, the query fails, or it has more rows than Insights returns.
    """
    ledger = Ledger(selection.name)
    streams = " or ".join(f'@logStream like "[{version}]"' for version in selection.versions)
    versions = f" and ({streams})" if streams else ""
    with explained(f"log group {selection.log_group}"):
        rows = list(_query(client, selection, _STARTS.format(versions=versions, limit=_LIMIT), wait))
        boots = list(_query(client, selection, _BOOTS.format(versions=versions), wait))
    if len(rows) >= _LIMIT:
        raise UsageError(
            f"Logs Insights returned {_LIMIT:,} rows and has more",
            hint="Take a shorter time, or leave --aggregate out.",
        )
    for row in rows:
        kind: Kind = (
            "restored" if _true(row.get("snapstart")) else "cold" if _true(row.get("cold")) else "warm"
        )
        ledger.add_many(
            kind, _number(row.get("billed")), _number(row.get("memory")), int(_number(row.get("n")) or 0)
        )
    for row in boots:
        n, engine = int(_number(row.get("n")) or 0), row.get("engine") or "cold"
        ledger.engines[engine] += n
        if engine == "cold":
            ledger.fallbacks[row.get("reason") or "no reason given"] += n
    ledger.lines = ledger.n
    _finish(ledger, None, selection)
    return ledger


def clients(region: str | None) -> tuple[CloudWatchLogsClient, LambdaClient]:
    """Clients that wait out throttling: FilterLogEvents allows a handful of calls a second per account.

    Raises:
        Unavailable: no region or no boto3.
    """
    import boto3  # 0.3 s: only those who ask CloudWatch pay for it
    from botocore.config import Config

    config = Config(retries={"mode": "adaptive", "max_attempts": 10})
    with explained("AWS"):
        session = boto3.session.Session(region_name=region)
        return session.client("logs", config=config), session.client("lambda", config=config)


def _query(
    client: CloudWatchLogsClient, selection: Selection, query: str, wait: Callable[[float], None]
) -> Iterator[dict[str, str]]:
    started = client.start_query(
        logGroupName=selection.log_group,
        startTime=int(selection.start.timestamp()),
        endTime=int(selection.end.timestamp()),
        queryString=query,
        limit=_LIMIT,
    )["queryId"]
    waited, pause = 0.0, 0.25
    while True:
        result = client.get_query_results(queryId=started)
        status = result["status"]
        if status == "Complete":
            break
        if status not in ("Scheduled", "Running", "Unknown"):
            raise ToolFailed(f"Logs Insights ended the query: {status}", hint="Try a shorter time.")
        if waited > _QUERY_TIMEOUT_S:
            client.stop_query(queryId=started)
            raise ToolFailed(f"Logs Insights took over {waited:.0f} s", hint="Try a shorter time.")
        wait(pause)
        waited, pause = waited + pause, min(5.0, pause * 1.6)
    for row in result["results"]:
        yield {str(cell.get("field")): str(cell.get("value")) for cell in row if "value" in cell}


def _finish(ledger: Ledger, scanner: Scanner | None, selection: Selection) -> None:
    if scanner is not None:
        ledger.lines, ledger.malformed = scanner.lines, scanner.malformed
        ledger.problems, ledger.functions = scanner.problems, scanner.functions
    if not ledger.functions and selection.log_group.startswith("/aws/lambda/"):
        ledger.functions = {selection.log_group.removeprefix("/aws/lambda/")}


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turns botocore's errors into ours, each with what to do."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

    try:
        yield
    except QuickthawError:
        raise
    except NoRegionError as error:
        raise Unavailable("no AWS region is set", hint="Give --region or set AWS_REGION.") from error
    except NoCredentialsError as error:
        raise Unavailable(
            "no AWS credentials", hint="Log in, or set AWS_PROFILE or the AWS_* keys."
        ) from error
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        hint = {
            "ResourceNotFoundException": "Check the name, the region and the account.",
            "AccessDeniedException": "It needs logs:FilterLogEvents (and logs:StartQuery, lambda:GetAlias "
            "where used).",
            "ThrottlingException": "AWS throttled it for too long; try again, or use --aggregate.",
        }.get(code, "See the message; check region and account.")
        raise ToolFailed(f"{what}: {error}", hint=hint) from error
    except BotoCoreError as error:
        raise Unavailable(
            f"{what}: {error}", hint="Check the network, the region and the endpoint."
        ) from error


def _is_version(stream: str, versions: Sequence[str]) -> bool:
    found = _VERSION.search(stream)
    return found is not None and found[1] in versions


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _true(text: str | None) -> bool:
    return text is not None and text.lower() in ("1", "1.0", "true")
