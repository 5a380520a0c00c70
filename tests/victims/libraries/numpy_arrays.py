"""Arrays: large, memory-mapped from a file, views that share memory, and BLAS's threads."""

import os
from typing import Any

import numpy as np

SAME = ("sum", "mapped", "shared", "product", "solved")
LAYOUT = "hot"

LARGE = np.arange(4_000_000, dtype=np.float64)
MAPPED = np.memmap(os.path.join(os.path.dirname(np.__file__), "__init__.py"), dtype=np.uint8, mode="r")
VIEW = LARGE[::2]
MATRIX = np.random.default_rng(1).random((600, 600))
PRODUCT = MATRIX @ MATRIX


def handler(event: Any, context: Any) -> dict[str, Any]:
    VIEW[0] = event["call"]
    return {
        "sum": float(LARGE[1:].sum()),
        "mapped": int(MAPPED[:1000].sum()),
        "shared": [float(LARGE[0]), bool(np.shares_memory(LARGE, VIEW))],
        "product": bool(np.array_equal(MATRIX @ MATRIX, PRODUCT)),
        "solved": bool(np.allclose(np.linalg.solve(MATRIX, MATRIX @ np.ones(600)), 1)),
    }
