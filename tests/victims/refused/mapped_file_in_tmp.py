"""A file of /tmp that is mapped shared and writable."""

import mmap
from typing import Any

REFUSED = r"/tmp/table"
with open("/tmp/table", "wb+") as file:
    file.truncate(4096)
    MAP = mmap.mmap(file.fileno(), 4096)


def handler(event: Any, context: Any) -> Any: ...
