"""The victim of most tests: small, prints what it does, and answers with what it sees of itself."""

import ctypes
import os
import random
import time
import uuid
from typing import Any

import snapshot_restore_py

TABLE = [str(number) * 4 for number in range(100_000)]
HOOKS: list[str] = []
AT_IMPORT = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")

os.environ["SET_AT_IMPORT"] = "yes"
os.environ["PATH"] += ":/appended"


@snapshot_restore_py.register_before_snapshot  # type: ignore[untyped-decorator]
def first_before() -> None:
    HOOKS.append("first before")


@snapshot_restore_py.register_before_snapshot  # type: ignore[untyped-decorator]
def second_before() -> None:
    HOOKS.append("second before")


@snapshot_restore_py.register_after_restore  # type: ignore[untyped-decorator]
def first_after() -> None:
    HOOKS.append("first after")


@snapshot_restore_py.register_after_restore  # type: ignore[untyped-decorator]
def second_after() -> None:
    HOOKS.append("second after")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answers with what the event asks for; `sum` must be the same however the function was started."""
    if event.get("settle"):
        _wait_until_tmp_is_empty()
    return {
        "sum": sum(event.get("numbers", [])) + len(TABLE),
        "tmp": os.listdir("/tmp"),
        "commands": _commands(),
        "hooks": HOOKS,
        "environ": dict(os.environ),
        "c_environ": {name: _getenv(name) for name in event.get("getenv", [])},
        "random": [random.random(), str(uuid.uuid4())],
        "stream": context.log_stream_name,
        "threads": os.listdir("/proc/self/task"),
        "processors": [sorted(os.sched_getaffinity(int(tid))) for tid in os.listdir("/proc/self/task")],
        "native_id": __import__("threading").get_native_id(),
    }


def _wait_until_tmp_is_empty() -> None:
    deadline = time.monotonic() + 5
    while _work_directories() and time.monotonic() < deadline:
        time.sleep(0.005)


def _work_directories() -> list[str]:
    return [name for name in os.listdir("/tmp") if not name.startswith(".quickthaw-")]


def _commands() -> list[str]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                found.append(file.read().replace(b"\0", b" ").decode().strip())
        except OSError:
            continue
    return found


def _getenv(name: str) -> str | None:
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_char_p
    value = libc.getenv(name.encode())
    return None if value is None else value.decode()
