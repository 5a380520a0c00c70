"""Caches of the standard library: lru_cache, cached_property, re, linecache, struct, fnmatch."""

import fnmatch
import functools
import json
import linecache
import re
import string
import struct
import typing
from typing import Any

SAME = ("hits", "slow", "property", "matches", "line", "packed", "template", "json")
LAYOUT = "hot"

COMPUTED: list[int] = []


@functools.lru_cache(maxsize=100)
def slow(number: int) -> int:
    COMPUTED.append(number)
    return number**number


class Config:
    @functools.cached_property
    def table(self) -> dict[int, int]:
        COMPUTED.append(-1)
        return {number: slow(number) for number in range(50)}


CONFIG = Config()
CONFIG.table  # noqa: B018 - fills the cache
PATTERN = re.compile(r"(?P<word>\w+)-(?P<number>\d+)")
LINE = linecache.getline(__file__, 1)
TEMPLATE = string.Template("$who is $what")
UNPACK = struct.Struct("<IHb").unpack
ENCODER = json.JSONEncoder(sort_keys=True).encode


@functools.singledispatch
def kind(value: object) -> str:
    return "object"


@kind.register
def _(value: int) -> str:
    return "int"


def handler(event: Any, context: Any) -> dict[str, Any]:
    before = len(COMPUTED)
    assert slow(7) == 7**7
    found = PATTERN.search("see word-42")
    return {
        "hits": [slow.cache_info().currsize, len(COMPUTED) - before],
        "slow": str(slow(20)),
        "property": len(CONFIG.table),
        "matches": [found and found["number"], fnmatch.filter(["a.py", "b.txt"], "*.py"), kind(1), kind("")],
        "line": linecache.getline(__file__, 1) == LINE,
        "packed": UNPACK(b"\1\0\0\0\2\0\3"),
        "template": TEMPLATE.substitute(who="it", what=typing.get_type_hints(kind)["value"].__name__),
        "json": ENCODER({"b": 1, "a": [None, 1.5]}),
    }
