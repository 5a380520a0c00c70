"""A descriptor of a namespace."""

import os
from typing import Any

REFUSED = r"descriptor \d+: .*(net:\[|namespace)"
FD = os.open("/proc/self/ns/net", os.O_RDONLY)


def handler(event: Any, context: Any) -> Any: ...
