"""Large buffers: random bytes that do not compress, zeros, an array of doubles and a long string."""

import array
import hashlib
import os
from typing import Any

SAME = ("digest", "zeros", "doubles", "text", "changed")
LAYOUT = "hot"

RANDOM = bytearray(os.urandom(1 << 12) * (4 << 8))
DIGEST = hashlib.sha256(RANDOM).hexdigest()
ZEROS = bytearray(32 << 20)
DOUBLES = array.array("d", (number / 3 for number in range(500_000)))
TEXT = "é" * 1_000_000


def handler(event: Any, context: Any) -> dict[str, Any]:
    digest = hashlib.sha256(RANDOM).hexdigest() == DIGEST
    ZEROS[1000] = event["call"]
    return {
        "digest": digest,
        "zeros": [len(ZEROS), ZEROS.count(0)],
        "doubles": sum(DOUBLES),
        "text": [len(TEXT), hash(TEXT) == hash("é" * 1_000_000)],
        "changed": ZEROS[1000],
    }
