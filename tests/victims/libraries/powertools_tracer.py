"""Powertools' tracer, which brings X-Ray's recorder, its socket and its directory in /tmp."""

from typing import Any

from aws_lambda_powertools import Tracer

SAME = ("answer", "service")
ENGINES = ("native",)  # CRIU gives back nothing of /tmp

TRACER = Tracer(service="victim")


@TRACER.capture_method
def _work(number: int) -> int:
    return number * 2


@TRACER.capture_lambda_handler
def handler(event: Any, context: Any) -> dict[str, Any]:
    return {"answer": _work(event["call"]), "service": TRACER.service}
