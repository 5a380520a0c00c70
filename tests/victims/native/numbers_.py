"""What the demo function uses: BLAS with its worker threads, pandas, SciPy, boto3."""

from collections.abc import Iterator
from typing import Any

import boto3  # type: ignore[import-untyped, import-not-found, unused-ignore]
import numpy as np
import pandas as pd  # type: ignore[import-untyped, import-not-found, unused-ignore]
from scipy import stats  # type: ignore[import-untyped, import-not-found, unused-ignore]

MATRIX = np.random.default_rng(1).random((400, 400))
FRAME = pd.DataFrame({"key": ["a", "b"] * 500, "value": range(1000)})
KEYS: dict[str, Any] = {
    "aws_access_key_id": "AKIDEXAMPLE",
    "aws_secret_access_key": "secret",
    "region_name": "eu-west-1",
}
CLIENT = boto3.client("s3", **KEYS)
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
        "client": boto3.client("sqs", **KEYS).meta.endpoint_url,
        "presigned": CLIENT.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"}).split(
            "?"
        )[0],
    }


def hold() -> None:
    """Start BLAS's workers and warm up."""
    before.update(work())


def check() -> Iterator[tuple[str, str | None]]:
    """Compare."""
    after = work()
    from scipy import ndimage  # type: ignore[import-untyped, import-not-found, unused-ignore]

    smooth = ndimage.uniform_filter(np.ones((20, 20)), 3)
    yield "new_native_import", None if abs(float(smooth.sum()) - 400) < 1e-6 else f"{smooth.sum()}"
    for name, value in before.items():
        yield name, None if after[name] == value else f"{after[name]!r}, not {value!r}"
