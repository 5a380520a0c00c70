"""State of the interpreter itself: hooks, audit, filters, codecs, tracing, interned and changed builtins."""

import builtins
import codecs
import sys
import tracemalloc
import warnings
from typing import Any

SAME = ("hooks", "audited", "warned", "codec", "traced", "builtin", "interned", "switches")

AUDITED: list[str] = []
sys.addaudithook(lambda name, _arguments: AUDITED.append(name) if name == "victim" else None)
sys.unraisablehook = lambda _unraisable: None
warnings.simplefilter("error", UserWarning)


def _search(name: str) -> codecs.CodecInfo | None:
    if name != "victim":
        return None
    return codecs.CodecInfo(
        lambda text, _errors="": (text.encode()[::-1], len(text)), lambda data, _e="": ("", len(data))
    )


codecs.register(_search)
"".encode("victim")
tracemalloc.start(3)
TRACED = [bytes(1000) for _ in range(100)]
builtins.victim = 42  # type: ignore[attr-defined]
WORD = sys.intern("a word of " + str(42))


def handler(event: Any, context: Any) -> dict[str, Any]:
    AUDITED.clear()
    sys.audit("victim")
    try:
        warnings.warn("victim", stacklevel=1)
        warned = "printed"
    except UserWarning:
        warned = "raised"
    trace = tracemalloc.get_object_traceback(TRACED[0])
    return {
        "hooks": sys.unraisablehook is not sys.__unraisablehook__,
        "audited": AUDITED,
        "warned": warned,
        "codec": "abc".encode("victim").decode(),
        "traced": [tracemalloc.is_tracing(), trace[-1].lineno if trace else None],
        "builtin": victim,  # type: ignore[name-defined]  # noqa: F821
        "interned": sys.intern("a word of " + str(42)) is WORD,
        "switches": [sys.flags.hash_randomization, sys.getdlopenflags()],
    }
