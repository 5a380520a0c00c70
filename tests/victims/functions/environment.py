"""Views of the environment taken at import, in Python and in C, which must show the new one."""

import ctypes
import os
from os import environ, environb, getenv
from typing import Any

SAME = ("agree", "region", "absent")
FRESH = ("key", "stream", "c_key", "bytes_key")

LIBC = ctypes.CDLL(None)
LIBC.getenv.restype = ctypes.c_char_p
ITEMS = environ.items()


def handler(event: Any, context: Any) -> dict[str, Any]:
    in_c = {name: LIBC.getenv(os.fsencode(name)) for name in environ}
    return {
        "agree": [name for name, value in in_c.items() if os.fsencode(environ[name]) != value],
        "region": dict(ITEMS)["AWS_REGION"],
        "absent": [name for name in ("OPENBLAS_CORETYPE", "GLIBC_TUNABLES") if LIBC.getenv(name.encode())],
        "key": environ["AWS_ACCESS_KEY_ID"],
        "stream": getenv("AWS_LAMBDA_LOG_STREAM_NAME"),
        "c_key": LIBC.getenv(b"AWS_ACCESS_KEY_ID").decode(),
        "bytes_key": environb[b"AWS_SESSION_TOKEN"].decode(),
    }
