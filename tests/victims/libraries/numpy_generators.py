"""NumPy's generators: the global one and an unseeded one must not repeat, a seeded one goes on."""

from typing import Any

import numpy as np

SAME = ("seeded", "legacy_seeded")
FRESH = ("whole",)

SEEDED = np.random.default_rng(7)
LEGACY = np.random.RandomState(7)
_used = [SEEDED.random(10), LEGACY.rand(10), np.random.rand(10)]


def handler(event: Any, context: Any) -> dict[str, Any]:
    return {
        "seeded": SEEDED.random(3).tolist(),
        "legacy_seeded": LEGACY.rand(3).tolist(),
        "whole": np.random.rand(3).tolist(),
    }
