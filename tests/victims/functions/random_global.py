"""The module-level generator of `random`, which every environment must draw from anew."""

import random
from random import randint, sample
from typing import Any

FRESH = ("numbers", "bound")

_used = [random.random() for _ in range(10)]


def handler(event: Any, context: Any) -> dict[str, Any]:
    return {
        "numbers": [random.random(), random.getrandbits(64)],
        "bound": [randint(0, 1 << 62), sample(range(10**9), 3)],
    }
