"""A signal that is blocked and pending, which only CRIU gives back."""

import signal
from typing import Any

SAME = ("pending",)
ENGINES = ("criu",)
DECLINED = r"1 pending signals"

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
signal.raise_signal(signal.SIGUSR1)


def handler(event: Any, context: Any) -> dict[str, Any]:
    return {"pending": sorted(signal.sigpending())}
