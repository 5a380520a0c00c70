"""Log groups, functions, versions and aliases over HTTP.

moto answers FilterLogEvents, Lambda's control plane, PutDashboard and
PutMetricData well enough to rely on.  It ignores `filter @type`, `stats` and
`parse` of Logs Insights and JSON patterns, so there the request is asserted,
and AWS's answer is given in AWS's own form.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from quickthaw.errors import ToolFailed, UsageError
from quickthaw.review import cloudwatch

from tests.integration.review.conftest import Proxy
from tests.unit.review.conftest import THAWED, report
from tests.unit.review.test_observe import check_body, dashboard_body

NOW = datetime.now(UTC)
GROUP = "/aws/lambda/risk"
Client = Callable[[str], Any]


def stream(version: str, number: int) -> str:
    return f"{NOW:%Y/%m/%d}/[{version}]{number:032x}"


def fill(client: Any, group: str, version: str, starts: int, lines: Callable[[int], list[str]]) -> None:
    """Writes one stream per environment, as Lambda does."""
    if not client.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
        client.create_log_group(logGroupName=group)
    at = int((NOW - timedelta(hours=1)).timestamp() * 1000)
    for number in range(starts):
        name = stream(version, number)
        client.create_log_stream(logGroupName=group, logStreamName=name)
        events = [{"timestamp": at + number, "message": line} for line in lines(number)]
        client.put_log_events(logGroupName=group, logStreamName=name, logEvents=events)


def cold(number: int) -> list[str]:
    return ["INIT_START Runtime Version: python:3.12", report(duration=50 + number, init=1000.0) + "\n"]


def thawed(number: int) -> list[str]:
    return [
        THAWED + "\n",
        "START RequestId: x",
        report(duration=50 + number, init=60.0) + "\n",
        report(duration=5.0),
    ]


def since_yesterday(**more: Any) -> cloudwatch.Selection:
    return cloudwatch.Selection(log_group=GROUP, start=NOW - timedelta(days=1), end=NOW, **more)


def review(*arguments: str) -> dict[str, Any]:
    """Runs the command as a user would."""
    done = subprocess.run(
        [sys.executable, "-m", "quickthaw.cli.app", "review", *arguments, "--json"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_raw_lines_of_a_log_group_become_starts_by_kind(aws: Proxy, client: Client) -> None:
    logs = client("logs")
    fill(logs, GROUP, "1", 4, cold)
    fill(logs, GROUP, "2", 6, thawed)
    ledger = cloudwatch.read(logs, since_yesterday())
    assert {kind: account.n for kind, account in ledger.accounts.items()} == {
        "cold": 4,
        "thawed": 6,
        "restored": 0,
        "warm": 6,
    }
    assert ledger.functions == {"risk"}
    (asked,) = aws.of("FilterLogEvents")
    assert asked["logGroupName"] == GROUP
    assert asked["filterPattern"] == cloudwatch.PATTERN
    assert asked["endTime"] - asked["startTime"] == 86_400_000


def test_the_pattern_lets_through_what_the_scanner_reads() -> None:
    terms = [term.strip('?"') for term in cloudwatch.PATTERN.split(' ?"')]
    for line in (
        report(duration=5.0),
        THAWED,
        "INIT_REPORT Init Duration: 10007.33 ms\tPhase: init\tStatus: timeout",
        '{"time":"x","type":"platform.report","record":{}}',
        '{"time":"x","type":"platform.initReport","record":{}}',
    ):
        assert any(term in line for term in terms), line


def test_pages_are_followed_and_throttling_is_waited_out(aws: Proxy) -> None:
    event = {"logStreamName": stream("1", 7), "timestamp": 1, "message": report(duration=9.0), "eventId": "1"}
    aws.answers["FilterLogEvents"] = [
        (400, {"__type": "ThrottlingException", "message": "Rate exceeded"}),
        (200, {"events": [event], "nextToken": "more"}),
        (400, {"__type": "ThrottlingException", "message": "Rate exceeded"}),
        (200, {"events": [], "nextToken": "still more"}),
        (200, {"events": [{**event, "message": report(duration=9.0, init=1000.0)}]}),
    ]
    seen: list[int] = []
    made, _ = cloudwatch.clients("us-east-1")
    ledger = cloudwatch.read(made, since_yesterday(), seen.append)
    assert ledger.accounts["warm"].n == 1
    assert ledger.accounts["cold"].n == 1
    asked = [request.get("nextToken") for request in aws.of("FilterLogEvents")]
    assert asked == [None, None, "more", "more", "still more"]
    assert seen == [1, 0, 1]
    made.close()


def test_a_version_is_told_by_the_name_of_its_stream(aws: Proxy, client: Client) -> None:
    logs = client("logs")
    fill(logs, GROUP, "1", 2, cold)
    fill(logs, GROUP, "11", 3, cold)
    fill(logs, GROUP, "$LATEST", 5, cold)
    counts = [
        cloudwatch.read(logs, since_yesterday(versions=versions)).n
        for versions in (("1",), ("11",), ("$LATEST",), ("1", "11"), ())
    ]
    assert counts == [2, 3, 5, 5, 10]


def test_two_log_groups_on_the_command_line(aws: Proxy, client: Client) -> None:
    logs = client("logs")
    fill(logs, "/aws/lambda/plain", "$LATEST", 5, cold)
    fill(logs, "/aws/lambda/thawed", "$LATEST", 5, thawed)
    found = review("--log-group", "/aws/lambda/plain", "--log-group", "/aws/lambda/thawed", "--since", "3h")
    assert found["verdict"] == "cheaper"
    assert found["groups"]["old"]["billed_ms"]["n"] == found["groups"]["new"]["billed_ms"]["n"] == 5
    assert found["groups"]["new"]["compared"] == ["thawed"]
    assert {"different-functions", "too-few-runs"} <= {doubt["kind"] for doubt in found["doubts"]}


def test_one_log_group_compares_its_cold_with_its_thawed_starts(aws: Proxy, client: Client) -> None:
    logs = client("logs")
    fill(logs, GROUP, "1", 4, cold)
    fill(logs, GROUP, "2", 6, thawed)
    found = review("--log-group", GROUP)
    assert found["groups"]["old"]["compared"] == ["cold"]
    assert found["groups"]["new"]["compared"] == ["thawed"]


def make_function(client: Client, group: str | None = None) -> None:
    iam, functions = client("iam"), client("lambda")
    role = iam.create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("app.py", "def handler(event, context): return 1\n")
    functions.create_function(
        FunctionName="risk",
        Runtime="python3.12",
        Role=role,
        Handler="app.handler",
        Code={"ZipFile": packed.getvalue()},
        Publish=True,
        Tags={"quickthaw-review": "true"},
        **({"LoggingConfig": {"LogGroup": group}} if group else {}),
    )


def test_aliases_and_versions_of_a_function(aws: Proxy, client: Client) -> None:
    make_function(client)
    functions, logs = client("lambda"), client("logs")
    functions.update_function_configuration(FunctionName="risk", Description="with a snapshot")
    functions.update_function_code(FunctionName="risk", ZipFile=b"PK\x05\x06" + bytes(18), Publish=True)
    functions.create_alias(FunctionName="risk", Name="before", FunctionVersion="1")
    functions.create_alias(
        FunctionName="risk",
        Name="shifting",
        FunctionVersion="1",
        RoutingConfig={"AdditionalVersionWeights": {"2": 0.1}},
    )
    fill(logs, GROUP, "1", 3, cold)
    fill(logs, GROUP, "2", 4, thawed)
    found = review("--function", "risk", "--alias", "before", "--alias", "shifting")
    assert found["groups"]["old"]["billed_ms"]["n"] == 3
    assert found["groups"]["new"]["billed_ms"]["n"] == 7
    found = review("--function", "risk", "--version", "1", "--version", "2")
    assert found["verdict"] == "cheaper"
    assert [found["groups"][side]["billed_ms"]["n"] for side in ("old", "new")] == [3, 4]


def test_what_aws_refuses_is_told_with_a_remedy(aws: Proxy, client: Client) -> None:
    with pytest.raises(ToolFailed) as refused:
        cloudwatch.read(client("logs"), since_yesterday())
    assert GROUP in str(refused.value)
    assert "name" in refused.value.hint


def row(**cells: object) -> list[dict[str, str]]:
    return [{"field": name, "value": str(value)} for name, value in cells.items() if value is not None]


def test_logs_insights_counts_on_the_server(aws: Proxy, client: Client) -> None:
    aws.answers["StartQuery"] = [(200, {"queryId": "one"}), (200, {"queryId": "two"})]
    aws.answers["GetQueryResults"] = [
        (200, {"status": "Running", "results": []}),
        (
            200,
            {
                "status": "Complete",
                "results": [
                    row(billed="1050", memory="1024", cold="1", snapstart="0", n="30"),
                    row(billed="1060", memory="1024", cold="1", snapstart="0", n="10"),
                    row(billed="278", memory="1024", cold="0", snapstart="1", n="5"),
                    row(billed="9", memory="1024", cold="0", snapstart="0", n="1000"),
                ],
            },
        ),
        (200, {"status": "Complete", "results": [row(engine="cold", reason="this CPU lacks avx", n="3")]}),
    ]
    waits: list[float] = []
    ledger = cloudwatch.aggregate(client("logs"), since_yesterday(versions=("7", "8")), wait=waits.append)
    assert {kind: account.n for kind, account in ledger.accounts.items()} == {
        "cold": 40,
        "thawed": 0,
        "restored": 5,
        "warm": 1000,
    }
    billed = ledger.accounts["cold"].billed
    assert billed.mean == pytest.approx(1052.5)
    assert (billed.quantile(0.5), billed.maximum) == (1050, 1060)
    assert ledger.fallbacks == {"this CPU lacks avx": 3}
    assert len(waits) == 1
    starts, boots = aws.of("StartQuery")
    assert starts["logGroupName"] == GROUP
    assert starts["endTime"] - starts["startTime"] == 86_400, "seconds here, milliseconds in FilterLogEvents"
    assert starts["limit"] == 10_000
    query = starts["queryString"]
    assert 'filter (@type = "REPORT" or type = "platform.report")' in query
    assert 'and (@logStream like "[7]" or @logStream like "[8]")' in query
    assert "coalesce(@billedDuration, record.metrics.billedDurationMs) as billed" in query
    assert "stats count(*) as n by billed, memory, cold, snapstart" in query
    assert boots["queryString"].startswith("filter quickthaw = 1 and (")


@pytest.mark.parametrize("status", ["Failed", "Cancelled", "Timeout"])
def test_a_query_that_fails_is_told(status: str, aws: Proxy, client: Client) -> None:
    aws.answers["StartQuery"] = [(200, {"queryId": "one"})]
    aws.answers["GetQueryResults"] = [(200, {"status": status, "results": []})]
    with pytest.raises(ToolFailed, match=status):
        cloudwatch.aggregate(client("logs"), since_yesterday())


def test_a_histogram_that_was_cut_off_is_not_taken_for_the_whole(aws: Proxy, client: Client) -> None:
    aws.answers["StartQuery"] = [(200, {"queryId": "one"}), (200, {"queryId": "two"})]
    rows = [row(billed=i, memory=1024, cold=1, snapstart=0, n=1) for i in range(10_000)]
    aws.answers["GetQueryResults"] = [
        (200, {"status": "Complete", "results": rows}),
        (200, {"status": "Complete", "results": []}),
    ]
    with pytest.raises(UsageError, match="more"):
        cloudwatch.aggregate(client("logs"), since_yesterday())


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("90m", NOW - timedelta(minutes=90)),
        ("7d", NOW - timedelta(days=7)),
        ("2w", NOW - timedelta(weeks=2)),
        ("2026-10-01", datetime(2026, 10, 1, tzinfo=UTC)),
        ("2026-10-01T12:00+02:00", datetime(2026, 10, 1, 10, tzinfo=UTC)),
    ],
)
def test_moments_are_read(text: str, wanted: datetime) -> None:
    assert cloudwatch.moment(text, NOW) == wanted


def test_a_moment_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="yesterday"):
        cloudwatch.moment("yesterday", NOW)


def test_the_dashboard_can_be_put(aws: Proxy, client: Client) -> None:
    metrics = client("cloudwatch")
    metrics.put_dashboard(DashboardName="quickthaw", DashboardBody=json.dumps(dashboard_body()))
    stored = json.loads(metrics.get_dashboard(DashboardName="quickthaw")["DashboardBody"])
    check_body(stored)  # moto would have taken anything
