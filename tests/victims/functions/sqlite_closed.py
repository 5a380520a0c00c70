"""A database file in /tmp that the import wrote and closed."""

import sqlite3
from typing import Any

SAME = ("rows", "locked")
ENGINES = ("native",)
PYTHONS = ("3.12", "3.13")

_base = sqlite3.connect("/tmp/base.sqlite")
_base.execute("create table t (n integer)")
_base.executemany("insert into t values (?)", [(number,) for number in range(1000)])
_base.commit()
_base.close()


def handler(event: Any, context: Any) -> dict[str, Any]:
    base = sqlite3.connect("/tmp/base.sqlite", isolation_level=None)
    other = sqlite3.connect("/tmp/base.sqlite", isolation_level=None, timeout=0)
    base.execute("begin immediate")
    base.execute("insert into t values (?)", (event["call"],))
    try:
        other.execute("insert into t values (0)")
        locked = False
    except sqlite3.OperationalError:
        locked = True
    base.execute("commit")
    rows = other.execute("select count(*) from t").fetchone()
    base.close()
    other.close()
    return {"rows": rows, "locked": locked}
