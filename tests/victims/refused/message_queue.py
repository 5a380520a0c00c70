"""A POSIX message queue."""

import ctypes
from typing import Any

REFUSED = r"descriptor \d+: .*(queue|victim)"
RT = ctypes.CDLL("librt.so.1", use_errno=True)
FD = RT.mq_open(b"/victim", 0o102, 0o600, None)
assert FD >= 0, ctypes.get_errno()


def handler(event: Any, context: Any) -> Any: ...
