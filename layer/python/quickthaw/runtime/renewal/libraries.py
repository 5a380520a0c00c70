"""Libraries with a memory of their own for what happens once in an environment."""

from __future__ import annotations

import sys
from typing import Any

_COLD_START = (
    "aws_lambda_powertools.logging.logger",
    "aws_lambda_powertools.metrics.base",
    "aws_lambda_powertools.metrics.metrics",
    "aws_lambda_powertools.metrics.provider.cold_start",
    "aws_lambda_powertools.tracing.tracer",
)


def renew() -> None:
    """Powertools tells cold starts by module globals that a warm-up has already cleared."""
    for name in _COLD_START:
        module: Any = sys.modules.get(name)
        if module is not None and hasattr(module, "is_cold_start"):
            module.is_cold_start = True
