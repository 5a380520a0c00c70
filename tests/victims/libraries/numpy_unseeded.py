"""NumPy generators that were made without a seed, and what was spawned of one."""

from typing import Any

import numpy as np

FRESH = ("unseeded", "legacy", "spawned", "philox")

UNSEEDED = np.random.default_rng()
LEGACY = np.random.RandomState()
SPAWNED = UNSEEDED.spawn(2)
PHILOX = np.random.Generator(np.random.Philox())


def handler(event: Any, context: Any) -> dict[str, Any]:
    return {
        "unseeded": UNSEEDED.random(3).tolist(),
        "legacy": LEGACY.rand(3).tolist(),
        "spawned": SPAWNED[0].random(3).tolist(),
        "philox": PHILOX.random(3).tolist(),
    }
