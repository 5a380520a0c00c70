"""An open SQLite database in /tmp with a write-ahead log, whose index is shared memory in a file."""

import sqlite3
from typing import Any

REFUSED = r"/tmp/base.sqlite-shm"
BASE = sqlite3.connect("/tmp/base.sqlite", isolation_level=None)
BASE.execute("pragma journal_mode = wal")
BASE.execute("create table t (n integer)")


def handler(event: Any, context: Any) -> Any: ...
