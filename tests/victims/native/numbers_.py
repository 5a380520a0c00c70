"""Numerical libraries: BLAS with its worker threads, pandas, SciPy."""

from collections.abc import Iterator

import numpy as np
import pandas as pd  # type: ignore[import-untyped, import-not-found, unused-ignore]
from scipy import stats  # type: ignore[import-untyped, import-not-found, unused-ignore]

MATRIX = np.random.default_rng(1).random((400, 400))
FRAME = pd.DataFrame({"key": ["a", "b"] * 500, "value": range(1000)})
before: dict[str, object] = {}


def work() -> dict[str, object]:
    """The same answer before and after."""
    product = MATRIX @ MATRIX
    _, values, _ = np.linalg.svd(product)
    fit = stats.linregress(FRAME["value"], FRAME["value"] * 2 + 1)
    return {
        "product": round(float(product.sum()), 3),
        "svd": round(float(values[0]), 3),
        "groupby": FRAME.groupby("key")["value"].sum().to_dict(),
        "slope": round(float(fit.slope), 6),
    }


def hold() -> None:
    """Start BLAS's workers and warm up."""
    before.update(work())


def check() -> Iterator[tuple[str, str | None]]:
    """Compare."""
    after = work()
    for name, value in before.items():
        yield name, None if after[name] == value else f"{after[name]!r}, not {value!r}"
