"""A generator object that was made without a seed, which must not repeat itself in other environments."""

import random
from typing import Any

FRESH = ("numbers",)

GENERATOR = random.Random()


def handler(event: Any, context: Any) -> dict[str, Any]:
    return {"numbers": [GENERATOR.random(), GENERATOR.getrandbits(64)]}
