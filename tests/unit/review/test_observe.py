"""The dashboard, the saved queries and the alarm against CloudWatch's rules and our own metrics.

CloudWatch takes a wrong dashboard body with a warning that nobody sees in
CloudFormation, and moto takes any; so the rules stand here, from AWS's page
"Dashboard body structure and syntax".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from quickthaw.review import cloudwatch
from quickthaw.runtime import metrics

FRAGMENTS = Path(__file__).parents[3] / "handler" / "review"
PARAMETERS = {
    "AWS::Region": "eu-central-1",
    "FunctionName": "risk-thawed",
    "LogGroupName": "/aws/lambda/risk-thawed",
    "DashboardName": "quickthaw",
}
STATS = re.compile(
    r"Average|Sum|Minimum|Maximum|SampleCount|IQM|p\d{1,2}(\.\d+)?|p100|t[mcs]\d{1,2}|TM\(.*\)"
)
OURS = {*metrics.DURATIONS.values(), "Fallback", metrics.LOST}
REVIEWED = {
    "Starts",
    "BilledMean",
    "BilledP50",
    "BilledP90",
    "BilledP99",
    "BilledGBSeconds",
    "SavedPerMillion",
}


class Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Reads CloudFormation's short forms as {"Fn": value}."""


def _tagged(loader: Loader, tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return {tag: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {tag: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {tag: loader.construct_mapping(node, deep=True)}


Loader.add_multi_constructor("!", _tagged)


def fragment(name: str) -> Any:
    return yaml.load((FRAGMENTS / name).read_text(encoding="utf-8"), Loader)


def dashboard_body() -> dict[str, Any]:
    """The dashboard's body as CloudFormation would hand it to CloudWatch."""
    text = fragment("observe.yaml")["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Sub"]
    filled = re.sub(r"\$\{([^}]+)\}", lambda found: PARAMETERS[found[1]], text)
    parsed: dict[str, Any] = json.loads(filled)
    return parsed


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    loaded: dict[str, Any] = fragment("observe.yaml")
    return loaded


@pytest.fixture(scope="module")
def body() -> dict[str, Any]:
    return dashboard_body()


def check_body(body: dict[str, Any]) -> None:
    """Raises AssertionError where CloudWatch would report a validation error."""
    assert set(body) <= {"start", "end", "periodOverride", "widgets", "variables"}
    if "start" in body:
        assert re.fullmatch(r"-P(\d+[DWMY]|T\d+[MH])|\d{4}-.*Z", body["start"])
    assert body.get("periodOverride", "auto") in ("auto", "inherit")
    assert len(body["widgets"]) <= 500
    taken: set[tuple[int, int]] = set()
    for widget in body["widgets"]:
        assert set(widget) <= {"type", "x", "y", "width", "height", "properties"}
        assert 1 <= widget["width"] <= 24
        assert 1 <= widget["height"] <= 1000
        assert 0 <= widget["x"] <= 24 - widget["width"]
        assert widget["y"] >= 0
        cells = {
            (x, y)
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        }
        assert not cells & taken, "widgets overlap"
        taken |= cells
        {"text": check_text, "log": check_log, "metric": check_metric}[widget["type"]](widget["properties"])


def check_text(properties: dict[str, Any]) -> None:
    assert set(properties) <= {"markdown", "background"}
    assert properties["markdown"]


def check_log(properties: dict[str, Any]) -> None:
    assert set(properties) <= {"region", "title", "query", "view", "stacked", "queryLanguage", "accountId"}
    assert re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", properties["region"])
    assert properties.get("view", "table") in ("table", "timeSeries", "bar", "pie")
    assert re.match(r"SOURCE '[^']+'( SOURCE|\s*\|)", properties["query"])


def check_metric(properties: dict[str, Any]) -> None:
    assert set(properties) <= {
        "region", "title", "view", "stacked", "period", "stat", "metrics", "yAxis", "legend", "annotations",
        "liveData", "setPeriodToTimeRange", "sparkline", "timezone", "accountId",
    }  # fmt: skip
    assert re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", properties["region"])
    assert properties.get("view", "timeSeries") in (
        "timeSeries",
        "singleValue",
        "gauge",
        "bar",
        "pie",
        "table",
    )
    period = properties.get("period", 300)
    assert period in (1, 5, 10, 30) or period % 60 == 0
    assert STATS.fullmatch(properties.get("stat", "Average"))
    assert 1 <= len(properties["metrics"]) <= 500
    ids = [
        entry[-1]["id"]
        for entry in properties["metrics"]
        if isinstance(entry[-1], dict) and "id" in entry[-1]
    ]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z][A-Za-z0-9_]*", id_) for id_ in ids)
    for _, options in expanded(properties["metrics"]):
        assert set(options) <= {
            "accountId", "color", "expression", "id", "label", "period", "region", "stat", "visible", "yAxis",
        }  # fmt: skip
        assert STATS.fullmatch(options.get("stat", "Average"))
        assert re.fullmatch(r"#[0-9a-f]{6}", options.get("color", "#000000"))
        assert options.get("yAxis", "left") in ("left", "right")
    for side, axis in properties.get("yAxis", {}).items():
        assert side in ("left", "right")
        assert set(axis) <= {"label", "min", "max", "showUnits"}


def expanded(entries: list[list[Any]]) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """Resolves `.` (as above) and `...` (as above, up to what is given)."""
    above: list[str] = []
    for entry in entries:
        options = entry[-1] if isinstance(entry[-1], dict) else {}
        names = [part for part in entry if not isinstance(part, dict)]
        if not names:
            assert options["expression"]
            yield [], options
            continue
        if names[0] == "...":
            names = above[: len(above) - len(names) + 1] + names[1:]
        names = [above[i] if part == "." else part for i, part in enumerate(names)]
        assert len(names) >= 2
        assert len(names) % 2 == 0, f"a dimension without a value: {names}"
        above = names
        yield names, options


def test_the_dashboard_body_keeps_cloudwatchs_rules(body: dict[str, Any]) -> None:
    check_body(body)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: body["widgets"][1].update(x=13),
        lambda body: body["widgets"][0].update(width=25),
        lambda body: body["widgets"][2]["properties"].update(period=90),
        lambda body: body["widgets"][2]["properties"].update(view="lines"),
        lambda body: body["widgets"][2]["properties"]["metrics"][0].pop(4),
        lambda body: body["widgets"][1]["properties"].update(query="fields @message"),
        lambda body: body["widgets"][3]["properties"]["metrics"][0][-1].update(stat="p500"),
    ],
)
def test_the_check_of_the_dashboard_can_fail(spoil: Any, body: dict[str, Any]) -> None:
    broken = json.loads(json.dumps(body))
    spoil(broken)
    with pytest.raises(AssertionError):
        check_body(broken)


def test_the_dashboard_shows_metrics_that_exist_by_dimensions_that_exist(body: dict[str, Any]) -> None:
    shown = set()
    for widget in body["widgets"]:
        for names, options in expanded(widget["properties"].get("metrics", [])):
            if names:
                namespace, metric, *dimensions = names
                assert namespace == metrics.NAMESPACE
                shown.add((metric, *dimensions[::2]))
            elif "SEARCH" in options["expression"]:
                assert "{Quickthaw,FunctionName,Engine,Reason}" in options["expression"]
    for metric, *dimensions in shown:
        if metric in OURS:
            assert dimensions == ["FunctionName"]
        else:
            assert metric in REVIEWED
            assert dimensions == (
                ["FunctionName"] if metric == "SavedPerMillion" else ["FunctionName", "Start"]
            )
    assert {metric for metric, *_ in shown} >= OURS


def test_the_alarm_watches_the_rate_of_fallbacks(template: dict[str, Any]) -> None:
    alarm = template["Resources"]["FallbackAlarm"]["Properties"]
    assert (alarm["Namespace"], alarm["MetricName"]) == (metrics.NAMESPACE, "Fallback")
    assert alarm["Statistic"] == "Average", "the average of ones and zeros is the rate"
    assert [dimension["Name"] for dimension in alarm["Dimensions"]] == ["FunctionName"]
    assert alarm["TreatMissingData"] == "notBreaching", "no starts are no fallbacks"


def test_the_saved_queries_read_both_log_formats(template: dict[str, Any]) -> None:
    queries = {
        name: resource["Properties"]["QueryString"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Logs::QueryDefinition"
    }
    assert len(queries) == 4
    for name in ("BilledByStart", "Histogram"):
        assert 'type = "platform.report"' in queries[name]
        assert "coalesce(@billedDuration, record.metrics.billedDurationMs)" in queries[name]
    for query in queries.values():
        assert len(query) <= 10_000
        assert query.count("(") == query.count(")")


def test_the_policy_names_every_action_that_is_used_and_no_more() -> None:
    (document,) = yaml.load((FRAGMENTS / "policy.yaml").read_text(encoding="utf-8"), Loader)
    actions = {statement["Action"] for statement in document["Statement"]}
    assert actions == {"tag:GetResources", "lambda:GetFunctionConfiguration", "logs:FilterLogEvents"}
    source = (FRAGMENTS / "app.py").read_text(encoding="utf-8") + Path(cloudwatch.__file__).read_text("utf-8")
    assert (
        "filter_log_events" in source and "get_function_configuration" in source and "get_resources" in source
    )
    for statement in document["Statement"]:
        if statement["Action"] != "tag:GetResources":  # the only one without resource-level permissions
            assert statement["Resource"] != "*"
