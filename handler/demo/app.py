"""The demo function: portfolio risk over HTTP, with the imports such functions really have.

It stands for the functions that suffer from cold starts: pandas, numpy,
scipy.stats, boto3 clients and Powertools at import time, more than a second
of it, and some 10 ms of work per request.  Nothing in it knows quickthaw:
the two hooks at the end are AWS's own SnapStart hooks, and the file runs
unchanged on a plain cold start, under SnapStart and from a quickthaw snapshot.

The answer is a pure function of the event, except for the report link, whose
date, signature and credential depend on when and where it is signed.
"""

from __future__ import annotations

import os

# One request at a time on about one vCPU: a pool of BLAS threads costs memory and wins nothing.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import gc
import json
import uuid
from typing import Any

import boto3
import numpy as np
import pandas as pd
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from botocore.config import Config
from scipy import stats
from snapshot_restore_py import register_after_restore, register_before_snapshot

REPORTS_BUCKET = os.environ.get("REPORTS_BUCKET", "risk-reports")
PORTFOLIOS_TABLE = os.environ.get("PORTFOLIOS_TABLE", "portfolios")
LINK_SECONDS = 900
FREEDOM = 5  # degrees of freedom of daily stock returns: fatter tails than the normal distribution's

SECTORS = {
    "chips": ["ALDR", "BIRC", "CEDR", "ELMX", "FIRR", "HAZL", "JUNI", "LARC"],
    "energy": ["AMBR", "BSLT", "COAL", "DUNE", "EMBR", "FLNT", "GRNT", "JADE"],
    "health": ["ASTR", "BGNA", "CLVR", "DASY", "FERN", "IRIS", "LILY", "ROSE"],
    "retail": ["BEAR", "CRNE", "DEER", "FALC", "HARE", "LYNX", "OTTR", "WOLF"],
    "banks": ["ALPS", "ANDS", "ATLS", "ETNA", "FUJI", "JURA", "RIGI", "URAL"],
}
SECTOR_OF = {symbol: sector for sector, symbols in SECTORS.items() for symbol in symbols}

logger = Logger(service="portfolio-risk")
metrics = Metrics(namespace="PortfolioRisk", service="portfolio-risk")
s3 = boto3.client("s3", config=Config(signature_version="s3v4", s3={"addressing_style": "virtual"}))
dynamodb = boto3.client("dynamodb")


def price_history(days: int = 1260) -> pd.DataFrame:
    """Return five years of daily closing prices, one column per symbol, to the cent.

    Stands for the file that such a function reads at start-up.  Each sector
    moves together, each stock also by itself; the seed makes it the same for
    everyone.
    """
    chance = np.random.default_rng(20230427)
    market = chance.standard_t(df=4, size=(days, 1)) * 0.006
    by_sector = np.repeat(chance.standard_t(df=5, size=(days, len(SECTORS))) * 0.005, 8, axis=1)
    alone = chance.standard_t(df=5, size=(days, len(SECTOR_OF))) * 0.008
    start = chance.uniform(20, 300, size=len(SECTOR_OF))
    closes = start * np.exp(np.cumsum(market + by_sector + alone + 0.0002, axis=0))
    index = pd.bdate_range(end="2026-10-30", periods=days, name="day")
    return pd.DataFrame(closes.round(2), index=index, columns=list(SECTOR_OF))


PRICES = price_history()


class BadRequest(ValueError):
    """The event asks for something that this function does not have; answered with status 400."""


def stored_holdings(portfolio: str) -> dict[str, float]:
    """Read a saved portfolio from DynamoDB."""
    item = dynamodb.get_item(TableName=PORTFOLIOS_TABLE, Key={"id": {"S": portfolio}}).get("Item")
    if item is None:
        raise BadRequest(f"no portfolio {portfolio!r}")
    return {symbol: float(value["N"]) for symbol, value in item["holdings"]["M"].items()}


def risk(holdings: dict[str, float], days: int, confidence: float) -> dict[str, Any]:
    """Return value, sectors and risk figures of ``holdings`` (shares per symbol) over the last ``days``."""
    unknown = sorted(set(holdings) - set(PRICES.columns))
    if unknown or not holdings:
        raise BadRequest(f"unknown symbols: {', '.join(unknown)}" if unknown else "no holdings")
    if not 20 <= days <= len(PRICES) or not 0.5 < confidence < 1:
        raise BadRequest("days must be 20 to 1260, confidence between 0.5 and 1")
    shares = pd.Series(holdings, dtype="float64").sort_index()
    worth = PRICES.tail(days)[list(shares.index)] * shares
    total = worth.sum(axis=1)
    returns = total.pct_change().dropna()
    scale = returns.std() * ((FREEDOM - 2) / FREEDOM) ** 0.5  # Student's t with the sample's variance
    quarters = total.resample("QE").last().tail(4)
    return {
        "as_of": str(total.index[-1].date()),
        "value": round(float(total.iloc[-1]), 2),
        "by_sector": worth.iloc[-1].groupby(SECTOR_OF).sum().round(2).sort_index().to_dict(),
        "quarters": {str(day.date()): round(float(value), 2) for day, value in quarters.items()},
        "volatility": round(float(returns.std() * np.sqrt(252)), 6),
        "worst_day": str(returns.idxmin().date()),
        "drawdown": round(float((total / total.cummax() - 1).min()), 6),
        "value_at_risk": {
            "historical": round(float(-returns.quantile(1 - confidence)), 6),
            "student_t": round(float(-stats.t.ppf(1 - confidence, FREEDOM, returns.mean(), scale)), 6),
        },
        "skew": round(float(stats.skew(returns)), 6),
        "kurtosis": round(float(stats.kurtosis(returns)), 6),
    }


def report_link(name: str) -> str:
    """Return a link to the full report in S3, signed with this environment's credentials."""
    return s3.generate_presigned_url(
        "get_object",
        Params={"Bucket": REPORTS_BUCKET, "Key": f"reports/{name}.csv"},
        ExpiresIn=LINK_SECONDS,
    )


@logger.inject_lambda_context(clear_state=False)
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer ``POST /risk`` of an HTTP API (payload format 2.0)."""
    try:
        request = json.loads(event.get("body") or "{}")
        holdings = request.get("holdings") or stored_holdings(request.get("portfolio", ""))
        answer = risk(holdings, int(request.get("days", 250)), float(request.get("confidence", 0.95)))
        answer["report"] = report_link(request.get("name", "portfolio"))
    except BadRequest as error:
        logger.warning("bad request", extra={"problem": str(error)})
        metrics.add_metric(name="BadRequest", unit=MetricUnit.Count, value=1)
        return reply(400, {"error": str(error)})
    metrics.add_metric(name="PortfolioValue", unit=MetricUnit.Count, value=answer["value"])
    logger.info("risk computed", extra={"symbols": len(holdings), "value": answer["value"]})
    return reply(200, answer)


def reply(status: int, body: dict[str, Any]) -> dict[str, Any]:
    """Return the HTTP API's form of an answer."""
    return {"statusCode": status, "headers": {"content-type": "application/json"}, "body": json.dumps(body)}


@register_before_snapshot
def settle() -> None:
    """Do now what the first request would do, and keep the collector off the pages that stay.

    ``gc.freeze`` moves everything alive out of the collector's sight, so that
    a collection after the restore does not touch (and copy) the whole heap.
    """
    risk({"ALDR": 1.0, "WOLF": 1.0}, days=60, confidence=0.95)
    report_link("settle")
    gc.collect()
    gc.freeze()


@register_after_restore
def become_unique() -> None:
    """Give this environment its own name in the log: the one in the snapshot would be everyone's."""
    logger.append_keys(environment=uuid.uuid4().hex)


become_unique()
