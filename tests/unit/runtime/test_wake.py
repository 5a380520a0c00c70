"""The wake's order."""

from __future__ import annotations

import re
from typing import Any

from quickthaw.runtime import wake


def test_the_documented_order_is_the_order() -> None:
    documented = re.findall(r"^([a-z]+) {2,}\S", wake.__doc__ or "", re.MULTILINE)
    state: Any = None
    assert documented == [name for name, _ in wake._steps({}, state, "app.handler")]
