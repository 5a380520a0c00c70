"""A database file in /tmp, with a write-ahead log and a connection that stays open."""

import sqlite3
from typing import Any

SAME = ("before", "after", "mode", "other")
ENGINES = ("native",)
PYTHONS = ("3.12", "3.13")

BASE = sqlite3.connect("/tmp/base.sqlite", isolation_level=None)
BASE.execute("pragma journal_mode = wal")
BASE.execute("create table t (n integer)")
BASE.executemany("insert into t values (?)", [(number,) for number in range(1000)])


def handler(event: Any, context: Any) -> dict[str, Any]:
    before = BASE.execute("select count(*) from t").fetchone()
    BASE.execute("insert into t values (?)", (event["call"],))
    with sqlite3.connect("/tmp/base.sqlite") as other:
        seen = other.execute("select count(*) from t").fetchone()
    return {
        "before": before,
        "after": BASE.execute("select count(*) from t").fetchone(),
        "mode": BASE.execute("pragma journal_mode").fetchone(),
        "other": seen,
    }
