"""SciPy: BLAS of its own with its threads, sparse matrices, an optimizer and a compiled function."""

from typing import Any

import numpy as np
from scipy import fft, integrate, linalg, optimize, sparse, stats

SAME = ("singular", "sparse", "minimum", "area", "spectrum", "fit")

MATRIX = np.random.default_rng(2).random((300, 300))
EXPECTED = linalg.svdvals(MATRIX)
SPARSE = sparse.random(1000, 1000, density=0.01, random_state=3, format="csr")
FROZEN = stats.norm(loc=1, scale=2)
with fft.set_workers(2):
    SPECTRUM = fft.fft(np.ones((64, 4096)), axis=1)


def handler(event: Any, context: Any) -> dict[str, Any]:
    with fft.set_workers(2):
        spectrum = fft.fft(np.ones((64, 4096)), axis=1)
    return {
        "singular": bool(np.allclose(linalg.svdvals(MATRIX), EXPECTED)),
        "sparse": round(float((SPARSE @ SPARSE.T).sum()), 6),
        "minimum": round(float(optimize.minimize_scalar(lambda x: (x - 3) ** 2).x), 6),
        "area": round(integrate.quad(FROZEN.pdf, -50, 50)[0], 6),
        "spectrum": bool(np.array_equal(spectrum, SPECTRUM)),
        "fit": round(float(stats.linregress([1, 2, 3], [2, 4, 6]).slope), 6),
    }
