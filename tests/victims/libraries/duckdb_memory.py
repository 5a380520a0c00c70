"""An in-memory DuckDB with its threads, a prepared relation and a temporary table."""

from typing import Any

import duckdb

SAME = ("sum", "grouped", "temporary", "inserted")

BASE = duckdb.connect(":memory:", config={"threads": 3})
BASE.execute("create table t as select range as n, range % 7 as k from range(200000)")
BASE.execute("create temp table u (n integer)")
RELATION = BASE.table("t").filter("n % 2 = 0")
RELATION.aggregate("sum(n)").fetchall()


def handler(event: Any, context: Any) -> dict[str, Any]:
    BASE.execute("insert into u values (?)", [event["call"]])
    return {
        "sum": str(RELATION.aggregate("sum(n)").fetchall()),
        "grouped": [
            str(row) for row in BASE.execute("select k, count(*) from t group by k order by k").fetchall()
        ],
        "temporary": BASE.execute("select count(*) from u").fetchone(),
        "inserted": BASE.execute("select max(n) from u").fetchone(),
    }
