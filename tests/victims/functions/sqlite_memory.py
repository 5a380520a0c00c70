"""An in-memory database with a table, an open cursor, a transaction and a function written in Python."""

import sqlite3
from typing import Any

SAME = ("rows", "cursor", "uncommitted", "function", "temporary")
LAYOUT = "hot"

BASE = sqlite3.connect(":memory:", isolation_level=None)
BASE.create_function("double", 1, lambda number: 2 * number)
BASE.execute("create table t (n integer primary key, s text)")
BASE.executemany("insert into t values (?, ?)", [(number, f"row {number}") for number in range(1000)])
BASE.execute("create temp table u as select * from t where n < 10")
CURSOR = BASE.execute("select n from t order by n")
FIRST = [next(CURSOR)[0] for _ in range(5)]
BASE.execute("begin")
BASE.execute("update t set s = 'changed' where n = 7")


def handler(event: Any, context: Any) -> dict[str, Any]:
    return {
        "rows": BASE.execute("select count(*), sum(n) from t").fetchone(),
        "cursor": FIRST,
        "uncommitted": [BASE.in_transaction, BASE.execute("select s from t where n = 7").fetchone()],
        "function": BASE.execute("select double(21)").fetchone(),
        "temporary": BASE.execute("select count(*) from u").fetchone(),
    }
