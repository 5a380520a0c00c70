"""Scheduled review: what did cold starts cost in the last period, and what did thawing save.

Runs once per period.  For every function that carries the tag it reads the
REPORT and bootstrap lines of the period from the function's log group and

- compares cold with thawed starts of the period where it has both, else the
  starts of the period with those of the period before;
- logs the comparison as Markdown;
- publishes the figures as metrics in the embedded metric format, which needs
  no permission beyond writing its own log.

Metrics, namespace `Quickthaw`:

    Starts                         Count         by FunctionName and Start
    BilledMean, BilledP50,
    BilledP90, BilledP99           Milliseconds  by FunctionName and Start
    BilledGBSeconds                None (GB-s)   by FunctionName and Start
    SavedPerMillion                None (USD)    by FunctionName; only when the comparison is decided

`Start` is cold, thawed, restored or warm.  A function that cannot be reviewed
does not stop the others; it is named in the result, and if none could be
reviewed the invocation fails, so that an alarm on Errors hears of it.

The package `quickthaw` comes from the review layer (`make -C layer
build-ReviewLayer`), boto3 from the runtime; nothing else is needed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from botocore.config import Config
from quickthaw.errors import QuickthawError
from quickthaw.review import cloudwatch
from quickthaw.review.compare import STARTS, Comparison, compare
from quickthaw.review.ledger import Ledger
from quickthaw.review.prices import ARCHITECTURES, prices
from quickthaw.review.render.markdown import markdown
from quickthaw.runtime.metrics import NAMESPACE


@dataclass(frozen=True)
class Settings:
    """What the template decides, from environment variables.

    Attributes:
        tag_key, tag_value: functions with this tag are reviewed (REVIEW_TAG_KEY, REVIEW_TAG_VALUE).
        period: length of a period (REVIEW_HOURS).
        region: for the prices (AWS_REGION).
    """

    tag_key: str
    tag_value: str
    period: timedelta
    region: str

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Settings:
        """Reads them; the defaults are the template's."""
        return cls(
            tag_key=environ.get("REVIEW_TAG_KEY", "quickthaw-review"),
            tag_value=environ.get("REVIEW_TAG_VALUE", "true"),
            period=timedelta(hours=float(environ.get("REVIEW_HOURS", "24"))),
            region=environ.get("AWS_REGION", "us-east-1"),
        )


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Lambda's entry point; EventBridge's `time` ends the period, so that a retry reviews the same one.

    Raises:
        RuntimeError: there are tagged functions and none of them could be reviewed.
    """
    settings = Settings.of(os.environ)
    end = datetime.fromisoformat(str(event["time"])) if event.get("time") else datetime.now(UTC)
    config = Config(retries={"mode": "adaptive", "max_attempts": 10})
    logs, lambdas = boto3.client("logs", config=config), boto3.client("lambda", config=config)
    reviewed: dict[str, Any] = {}
    failed: dict[str, str] = {}
    for arn in _tagged(boto3.client("resourcegroupstaggingapi", config=config), settings):
        name = arn.rpartition(":")[2]
        try:
            reviewed[name] = _review(logs, lambdas, name, settings, end)
        except QuickthawError as error:
            failed[name] = f"{error} {error.hint}".strip()
            print(f"quickthaw review of {name} failed: {failed[name]}")
    if failed and not reviewed:
        raise RuntimeError(f"no function could be reviewed: {failed}")
    return {"reviewed": reviewed, "failed": failed}


def _tagged(client: Any, settings: Settings) -> Iterator[str]:
    pages = client.get_paginator("get_resources").paginate(
        ResourceTypeFilters=["lambda:function"],
        TagFilters=[{"Key": settings.tag_key, "Values": [settings.tag_value]}],
    )
    for page in pages:
        for resource in page["ResourceTagMappingList"]:
            yield resource["ResourceARN"]


def _review(logs: Any, lambdas: Any, name: str, settings: Settings, end: datetime) -> dict[str, Any]:
    """Reviews one function: logs the table, publishes the metrics, returns a summary."""
    group = cloudwatch.log_group_of(lambdas, name)
    start = end - settings.period
    now = cloudwatch.read(logs, cloudwatch.Selection(log_group=group, start=start, end=end))
    tariff = prices(arch=_architecture(lambdas, name), region=settings.region, day=end.date())
    if now.accounts["cold"].n and now.accounts["thawed"].n:
        result = compare(now, now, tariff, old_kinds=["cold"], new_kinds=["thawed"])
    else:
        earlier = cloudwatch.Selection(log_group=group, start=start - settings.period, end=start)
        result = compare(cloudwatch.read(logs, earlier), now, tariff)
    print(f"## {name}\n\n{markdown(result)}")
    for metric in metrics(name, now, result, int(end.timestamp() * 1000)):
        print(json.dumps(metric))
    return {
        "starts": sum(now.accounts[kind].n for kind in STARTS),
        "verdict": result.verdict,
        "saved_usd_per_million": None if result.usd_per_million is None else -result.usd_per_million,
        "doubts": [doubt.kind for doubt in result.doubts],
    }


def metrics(name: str, ledger: Ledger, result: Comparison, timestamp_ms: int) -> Iterator[dict[str, Any]]:
    """The figures of one period, one object of the embedded metric format per kind of start."""
    for kind, account in ledger.accounts.items():
        if not account.n:
            continue
        values: dict[str, tuple[float, str]] = {"Starts": (account.n, "Count")}
        if account.billed.n:
            values["BilledMean"] = (account.billed.mean, "Milliseconds")
            for percent in (50, 90, 99):
                values[f"BilledP{percent}"] = (account.billed.quantile(percent / 100), "Milliseconds")
        if account.priced:
            values["BilledGBSeconds"] = (account.mb_ms / 1024 / 1000, "None")
        yield _embedded({"FunctionName": name, "Start": kind}, values, timestamp_ms)
    if result.usd_per_million is not None and result.verdict != "undecided":
        saved = {"SavedPerMillion": (-result.usd_per_million, "None")}
        yield _embedded({"FunctionName": name}, saved, timestamp_ms)


def _embedded(
    dimensions: dict[str, str], values: dict[str, tuple[float, str]], timestamp_ms: int
) -> dict[str, Any]:
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [list(dimensions)],
        "Metrics": [{"Name": metric, "Unit": unit} for metric, (_, unit) in values.items()],
    }
    return {
        "_aws": {"Timestamp": timestamp_ms, "CloudWatchMetrics": [directive]},
        **dimensions,
        **{metric: round(value, 6) for metric, (value, _) in values.items()},
    }


def _architecture(lambdas: Any, name: str) -> Any:
    with cloudwatch.explained(f"function {name}"):
        found = lambdas.get_function_configuration(FunctionName=name).get("Architectures") or []
    return next((arch for arch in ARCHITECTURES if arch in found), "x86_64")
