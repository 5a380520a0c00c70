"""Writes to the telemetry descriptor."""

import os
from collections.abc import Iterator


def check() -> Iterator[tuple[str, str | None]]:
    """The descriptor of this environment is known by the frozen one's number only."""
    os.write(802, b"telemetry")
    try:
        os.fstat(9)
    except OSError:
        yield "own_number_is_closed", None
    else:
        yield "own_number_is_closed", "descriptor 9 is still open"
