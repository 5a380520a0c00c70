"""Victim of the native restorer: holds what it is told to, is frozen in a read, and then checks itself.

usage: main.py MODULE...

Each module may have `hold()`, called before the freeze, and has `check()`,
which yields (item, problem or None) pairs after the thaw.  The wake context
says where to go on: VICTIM_MODULES names the modules whose checks run.  The
result is one JSON line on stdout; then the victim waits for end of file on
nothing and ends.
"""

import faulthandler
import importlib
import json
import os
import sys
import traceback

THAW_FD = 800


def document() -> bytes:
    """All of the wake context."""
    pieces = []
    while piece := os.read(THAW_FD, 65536):
        pieces.append(piece)
    return b"".join(pieces)


def results(names: list[str]) -> dict[str, str | None]:
    """What every check of the named modules says."""
    found: dict[str, str | None] = {}
    for name in names:
        try:
            for item, problem in importlib.import_module(name).check():
                found[f"{name}.{item}"] = problem
        except Exception:
            found[name] = traceback.format_exc()
    return found


def main() -> None:
    """Hold, wait, check, say."""
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    modules = [importlib.import_module(name) for name in sys.argv[1:]]
    for module in modules:
        getattr(module, "hold", lambda: None)()
    os.write(1, b"ready\n")
    context = json.loads(document().decode("utf-8", "surrogateescape"))
    fresh = dict(entry.split("=", 1) for entry in context["environ"])
    os.environ.clear()
    os.environ.update(fresh)
    faulthandler.dump_traceback_later(20, exit=True)  # a check that hangs says where
    names = [name for name in fresh.get("VICTIM_MODULES", "").split(",") if name]
    del context["environ"]
    line = json.dumps({"context": context, "results": results(names), "pid": os.getpid()})
    os.write(1, line.encode() + b"\n")
    os._exit(0)


if __name__ == "__main__":
    main()
