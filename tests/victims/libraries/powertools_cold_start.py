"""Powertools' logger and metrics, whose cold-start flags and keys a warm-up event has touched."""

from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

SAME = ("cold", "service", "metrics", "keys")
LAYOUT = "hot"

LOGGER = Logger(service="victim")
METRICS = Metrics(namespace="Victims", service="victim")
SEEN: dict[str, Any] = {}


@LOGGER.inject_lambda_context(clear_state=True)
@METRICS.log_metrics(capture_cold_start_metric=True)
def handler(event: Any, context: Any) -> dict[str, Any]:
    LOGGER.append_keys(call=event["call"])
    LOGGER.info("called")
    METRICS.add_metric("calls", MetricUnit.Count, 1)
    keys = LOGGER.get_current_keys()
    return {
        "cold": keys["cold_start"],
        "service": LOGGER.service,
        "metrics": list(METRICS.provider.metric_set),
        "keys": sorted(keys),
    }
