"""Polars: its pool of threads, lazy frames, string caches and an allocator written in Rust."""

from typing import Any

import polars as pl

SAME = ("grouped", "lazy", "text", "sorted", "threads")
LAYOUT = "lazy"

FRAME = pl.DataFrame({"key": ["a", "b", "c", "d"] * 25_000, "value": range(100_000)})
LAZY = FRAME.lazy().filter(pl.col("value") % 3 == 0).group_by("key").agg(pl.col("value").sum()).sort("key")
LAZY.collect()


def handler(event: Any, context: Any) -> dict[str, Any]:
    return {
        "grouped": FRAME.group_by("key").agg(pl.len()).sort("key").to_dicts(),
        "lazy": LAZY.collect().to_dicts(),
        "text": FRAME.head(3).write_csv(),
        "sorted": FRAME.sort("value", descending=True).head(2).to_dicts(),
        "threads": pl.thread_pool_size(),
    }
