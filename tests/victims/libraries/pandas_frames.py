"""Data frames with categories, time zones, a group-by that is half done, and a writer's buffer."""

import io
from typing import Any

import pandas as pd

SAME = ("grouped", "zones", "merged", "text", "rolling")
LAYOUT = "hot"
CRIU_COLD = r"the randomness of the OpenSSL inside /var/task/pyarrow/\S+, whose generator cannot be renewed"

FRAME = pd.DataFrame({"key": list("abcd") * 5000, "value": range(20_000)})
FRAME["category"] = FRAME["key"].astype("category")
FRAME["when"] = pd.date_range("2024-01-01", periods=20_000, freq="min", tz="Europe/Berlin")
GROUPED = FRAME.groupby("key")["value"]
INDEXED = FRAME.set_index("value")


def handler(event: Any, context: Any) -> dict[str, Any]:
    buffer = io.StringIO()
    FRAME.head(3).to_csv(buffer)
    other = pd.DataFrame({"key": ["a", "z"], "more": [1, 2]})
    return {
        "grouped": GROUPED.sum().to_dict(),
        "zones": str(FRAME["when"].dt.tz_convert("Asia/Tokyo").iloc[-1]),
        "merged": len(FRAME.merge(other, how="left", on="key").dropna()),
        "text": buffer.getvalue(),
        "rolling": float(INDEXED.index.to_series().rolling(10).mean().iloc[-1]),
    }
