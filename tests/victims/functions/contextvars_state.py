"""Context variables: a value, a token to go back, a copied context, and the decimal context."""

import contextvars
import decimal
from typing import Any

SAME = ("value", "copied", "reset", "third", "trapped")

VARIABLE: "contextvars.ContextVar[int]" = contextvars.ContextVar("variable", default=0)
VARIABLE.set(1)
TOKEN = VARIABLE.set(2)
COPY = contextvars.copy_context()
COPY.run(VARIABLE.set, 3)
decimal.getcontext().prec = 7
decimal.getcontext().traps[decimal.DivisionByZero] = False


def handler(event: Any, context: Any) -> dict[str, Any]:
    value = VARIABLE.get()
    if event["call"] == 2:
        VARIABLE.reset(TOKEN)
    return {
        "value": value,
        "copied": COPY.run(VARIABLE.get),
        "reset": VARIABLE.get(),
        "third": str(decimal.Decimal(1) / decimal.Decimal(3)),
        "trapped": str(decimal.Decimal(1) / decimal.Decimal(0)),
    }
