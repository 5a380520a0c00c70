"""Inside the function, on the build machine: import, warm up, hooks, and the wait that CRIU dumps.

Run as `python -m quickthaw.runtime.freeze` where Lambda would run
`python -m awslambdaric`.  One JSON line arrives on THAW_FD, the *order*
(handler, events); every stage answers with a line on WOKE_FD.  Then the
process blocks in read(THAW_FD), and that read is where the snapshot is taken.
After a thaw the same read returns the wake context.  Before the dump the
checkpoint may ask something there (a line that begins with "?"): who holds
what cannot be frozen, and to give up what the user allowed.

What is imported before the freeze costs nothing after it, so the runtime
client's modules are imported here, as far as they do not read the environment
when they are imported (`renewal.client` has the rest).
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from quickthaw import names
from quickthaw.runtime import wake
from quickthaw.runtime.renewal import collector, connections, loops

_NEEDED_AFTER = (
    "awslambdaric.lambda_config",
    "awslambdaric.lambda_context",
    "awslambdaric.lambda_literals",
    "awslambdaric.lambda_runtime_exception",
    "awslambdaric.lambda_runtime_hooks_runner",
    "awslambdaric.lambda_runtime_log_utils",
    "awslambdaric.lambda_runtime_marshaller",
    "quickthaw.runtime.metrics",
    "concurrent.futures.thread",  # thread polling of python3.12 and later
    "http.client",  # the runtime client's error path
)
_QUESTION = b"?"  # a wake context is a JSON object


def main() -> None:
    """The freeze: obeys the order on THAW_FD, is dumped, wakes, serves."""
    order = json.loads(_line(names.THAW_FD))
    # As given, not as os.environ: the interpreter itself may have set LC_CTYPE (PEP 538).
    started: dict[str, str] = order["environ"]
    sys.argv = ["awslambdaric", order["handler"]]
    for name in _NEEDED_AFTER:
        importlib.import_module(name)
    before = wake.begin()
    try:
        begin = time.monotonic()
        handler = _import_handler(order["handler"])
        _tell({"stage": "imported", "seconds": time.monotonic() - begin})
        for number, event in enumerate(order["events"]):
            begin = time.monotonic()
            answer = _warm_up(handler, event, number)
            _tell({"stage": "warmed", "event": number, "seconds": time.monotonic() - begin, "answer": answer})
        hooks = _run_before_snapshot()
        connections.close_idle()
        loops.settle()
        state = wake.remember(started, before)
    except BaseException as error:
        import traceback

        traceback.print_exc()
        _tell({"stage": "failed", "error": f"{type(error).__name__}: {error}"})
        sys.exit(1)
    _settle()
    _tell(
        {
            "stage": "frozen",
            "pid": os.getpid(),
            "env_names": sorted(os.environ),
            "hooks": hooks,
            "modules": _module_files(),
            "unreached": state.openssl.unreached,
        }
    )
    while (document := _document(names.THAW_FD)).startswith(_QUESTION):  # <- the snapshot is taken here
        _tell(_answer(json.loads(document[1:]), order["handler"]))
    context = json.loads(document.decode("utf-8", "surrogateescape"))
    wake.up(context, state, order["handler"])


def _module_files() -> list[str]:
    """Files of the function's directory and of its layers that are loaded, packages included, without us."""
    places = tuple(f"{path}/" for path in (names.TASK_PATH, names.LAYER_PYTHON_PATH))
    found = set()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file.startswith(places) and name.partition(".")[0] != "quickthaw":
            found.add(file)
    return sorted(found)


def _answer(question: dict[str, Any], handler: str) -> dict[str, Any]:
    """Imports here: a function that holds nothing forbidden is never asked."""
    if "holders" in question:
        from quickthaw.runtime import holders

        return {"stage": "holders", "found": holders.answer(question["holders"], handler)}
    from quickthaw.runtime.relinquish import relinquish

    try:
        relinquish(question["relinquish"])
    except OSError as error:
        return {"stage": "failed", "error": f"cannot give up what --allow says: {error}"}
    _settle()  # finding the holders has left garbage, and may have had a full collection
    return {"stage": "relinquished"}


def _import_handler(handler: str) -> Callable[[Any, Any], Any]:
    """As awslambdaric's `_get_handler`, whose result it will then find imported."""
    module_name, _, function_name = handler.rpartition(".")
    module = importlib.import_module(module_name.replace("/", "."))
    function: Callable[[Any, Any], Any] = getattr(module, function_name)
    return function


def _warm_up(handler: Callable[[Any, Any], Any], event: str, number: int) -> str:
    from awslambdaric.lambda_context import LambdaContext
    from awslambdaric.lambda_runtime_marshaller import to_json

    deadline_ms = int(time.time() * 1000) + 300_000
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{os.environ.get('AWS_LAMBDA_FUNCTION_NAME')}"
    context = LambdaContext(f"00000000-0000-4000-8000-{number:012d}", None, None, deadline_ms, arn)
    answer: str = to_json(handler(json.loads(event), context))
    return answer


def _run_before_snapshot() -> dict[str, int]:
    import snapshot_restore_py
    from awslambdaric import lambda_runtime_hooks_runner

    counts = {
        "before_snapshot": len(snapshot_restore_py.get_before_snapshot()),
        "after_restore": len(snapshot_restore_py.get_after_restore()),
    }
    lambda_runtime_hooks_runner.run_before_snapshot()
    return counts


def _settle() -> None:
    """Leaves as little as possible to be dumped, and to be written after a thaw.

    Garbage is dropped, and what is left moves out of the collector's sight
    (`renewal.collector`).  What the C heap holds free goes back to the kernel
    (2 % of the demo's pages, all of them stale bytes that compress badly).
    """
    sys.stdout.flush()
    sys.stderr.flush()
    collector.settle()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; musl has none
    if trim is not None:
        trim(0)


def _line(fd: int) -> bytes:
    data = b""
    while not data.endswith(b"\n"):
        byte = os.read(fd, 1)  # one by one: what follows belongs to the wake
        if not byte:
            sys.exit("quickthaw: the checkpoint went away")
        data += byte
    return data


def _document(fd: int) -> bytes:
    """All bytes up to end of file, or one question.

    PEP 475 makes os.read retry the EINTR that CRIU leaves behind.
    """
    data = b""
    while piece := os.read(fd, 65536):
        data += piece
        if data.startswith(_QUESTION) and data.endswith(b"\n"):
            break
    return data


def _tell(stage: dict[str, Any]) -> None:
    os.write(names.WOKE_FD, (json.dumps(stage) + "\n").encode())


if __name__ == "__main__":
    main()
