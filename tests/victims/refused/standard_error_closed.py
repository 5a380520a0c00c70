"""A standard error that the import closed: a thaw would open it."""

import os
from typing import Any

REFUSED = r"descriptor 2 is not the standard error"
os.close(2)


def handler(event: Any, context: Any) -> Any: ...
