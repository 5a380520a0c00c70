"""A locale and a time zone that the import chose, in Python and in C."""

import calendar
import ctypes
import locale
import os
import time
from typing import Any

SAME = ("locale", "zone", "hour", "c_zone", "encoding")

os.environ["TZ"] = "Asia/Kolkata"
time.tzset()
locale.setlocale(locale.LC_ALL, "C.UTF-8")
LIBC = ctypes.CDLL(None)
LIBC.setlocale.restype = ctypes.c_char_p


def handler(event: Any, context: Any) -> dict[str, Any]:
    return {
        "locale": [locale.setlocale(locale.LC_ALL), LIBC.setlocale(6, None).decode()],
        "zone": [time.tzname, time.timezone],
        "hour": time.strftime("%H:%M", time.localtime(calendar.timegm((2024, 1, 1, 0, 0, 0)))),
        "c_zone": ctypes.c_long.in_dll(LIBC, "timezone").value,
        "encoding": locale.getencoding(),
    }
