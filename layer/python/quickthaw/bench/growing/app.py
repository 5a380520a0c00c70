"""A function whose memory has the size that it is told, and whose requests need the same few pages of it.

Records of text and numbers, as a parsed price list or feature table: they
compress about as well as other heaps do.  A request looks a fixed number of
records up, at places that depend on the event.
"""

import os
import random
from typing import Any

MB = int(os.environ.get("GROWTH_MB", "20"))
LOOKUPS = 300
_BYTES = 515  # of a record: dict, two strings, two floats, a list

_chance = random.Random(1)
RECORDS = [
    {
        "id": f"customer-{number:09d}",
        "city": f"city {number % 977} of {number % 13}",
        "balance": _chance.random(),
        "limits": [number % 97 + 0.5, number % 89 + 0.25],
    }
    for number in range(MB * 1_000_000 // _BYTES)
]


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Looks records up all over the memory."""
    step = len(RECORDS) // LOOKUPS
    first = event["first"] % step
    chosen = [RECORDS[first + number * step] for number in range(LOOKUPS)]
    return {
        "records": len(RECORDS),
        "balance": round(sum(record["balance"] for record in chosen), 9),
        "last": chosen[-1]["id"],
    }
