"""Modules that are loaded on first use, and imports that happen for the first time after the thaw."""

import importlib.util
import sys
from types import ModuleType
from typing import Any

SAME = ("lazy", "native", "failed", "text")


def _lazily(name: str) -> ModuleType:
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


FRACTIONS = _lazily("fractions")


def handler(event: Any, context: Any) -> dict[str, Any]:
    import difflib
    import lzma
    import xml.etree.ElementTree as tree

    try:
        import no_such_module  # noqa: F401
    except ImportError as error:
        failed = str(error)
    return {
        "lazy": str(FRACTIONS.Fraction(3, 6)),
        "native": lzma.decompress(lzma.compress(b"text")).decode(),
        "failed": failed,
        "text": [
            difflib.get_close_matches("appel", ["apple", "pear"]),
            tree.fromstring("<a b='1'/>").get("b"),
        ],
    }
