"""A database file in /tmp with an open transaction, its journal and its locks."""

import sqlite3
from typing import Any

SAME = ("inside", "locked", "left")
ENGINES = ("native",)

BASE = sqlite3.connect("/tmp/base.sqlite", isolation_level=None)
BASE.execute("create table t (n integer)")
BASE.execute("insert into t values (1)")
BASE.execute("begin immediate")
BASE.execute("insert into t values (2)")


def handler(event: Any, context: Any) -> dict[str, Any]:
    other = sqlite3.connect("/tmp/base.sqlite", isolation_level=None, timeout=0)
    try:
        other.execute("insert into t values (3)")
        locked = False
    except sqlite3.OperationalError as error:
        locked = "locked" in str(error)
    inside = BASE.execute("select count(*) from t").fetchone()
    if event["call"] == 2:
        BASE.execute("rollback")
    return {"inside": inside, "locked": locked, "left": other.execute("select count(*) from t").fetchone()}
