"""A generator object with a seed of its own, whose sequence goes on where it was."""

import random
from typing import Any

SAME = ("numbers", "shuffled")

GENERATOR = random.Random(42)
_used = [GENERATOR.random() for _ in range(10)]


def handler(event: Any, context: Any) -> dict[str, Any]:
    numbers = list(range(20))
    GENERATOR.shuffle(numbers)
    return {"numbers": [GENERATOR.random(), GENERATOR.gauss(0, 1)], "shuffled": numbers}
