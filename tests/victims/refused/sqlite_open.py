"""An open SQLite database in /tmp: a second connection after the thaw would not see the first one's locks."""

import sqlite3
from typing import Any

REFUSED = r"/tmp/base.sqlite, an open SQLite database, held by sqlite_open\.BASE \(Connection\)"
BASE = sqlite3.connect("/tmp/base.sqlite", isolation_level=None)
BASE.execute("create table t (n integer)")
BASE.execute("begin immediate")


def handler(event: Any, context: Any) -> Any: ...
