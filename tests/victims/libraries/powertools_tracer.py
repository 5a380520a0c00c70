"""Powertools' tracer, which brings X-Ray's recorder and its socket."""

from typing import Any

from aws_lambda_powertools import Tracer

SAME = ("answer", "service")

TRACER = Tracer(service="victim")


@TRACER.capture_method
def _work(number: int) -> int:
    return number * 2


@TRACER.capture_lambda_handler
def handler(event: Any, context: Any) -> dict[str, Any]:
    return {"answer": _work(event["call"]), "service": TRACER.service}
