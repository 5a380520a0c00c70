"""Just enough JSON for the restore path, without importing `json`.

`json` brings in `re`, `enum` and `functools`: 8 to 30 ms of a cold start, for
one small document.  Its C half alone does the same work in half a millisecond:
the scanner is what `json.JSONDecoder` itself calls.  Where an interpreter
has no such scanner, the standard module is used, slower and equal.
"""

from __future__ import annotations

import _json

_BLANK = " \t\r\n"


class _Context:
    """The attributes that CPython's `c_make_scanner` reads from a decoder (Modules/_json.c)."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    memo: dict[str, str] = {}

    @staticmethod
    def parse_constant(name: str) -> float:
        raise ValueError(f"{name} is not JSON")


def loads(text: str) -> object:
    """The value of a JSON document.

    Raises:
        ValueError: not JSON, or something stands after the document.
    """
    try:
        scan = _json.make_scanner(_Context)  # type: ignore[arg-type]  # reads attributes only
        value, end = scan(text, len(text) - len(text.lstrip(_BLANK)))
    except (AttributeError, TypeError, StopIteration, SystemError, ValueError):
        # No such scanner, or no JSON: its errors need json.decoder, which is not loaded
        # (a SystemError then).  The slow way says what is wrong, or does the work.
        import json

        return json.loads(text)
    if text[end:].strip(_BLANK):
        raise ValueError(f"something stands after the document, at character {end}")
    return value


def dumps(value: object) -> str:
    """One line of JSON for what the log line and the wake context hold.

    Lone surrogates (bytes of the environment that are not UTF-8) come out as
    escapes, so that they survive the way through a pipe.

    Raises:
        TypeError: a value of another type than JSON's own.
    """
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, str):
        return _json.encode_basestring_ascii(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(round(value, 6))  # microseconds are finer than anything that is measured here
    if isinstance(value, dict):
        return "{" + ",".join(f"{dumps(str(key))}:{dumps(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(dumps(item) for item in value) + "]"
    raise TypeError(f"{type(value).__name__} has no JSON form here")
