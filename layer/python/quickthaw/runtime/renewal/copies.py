"""What the import copied out of the environment: keys, and the name of the log stream.

The checkpoint's values of these variables are its own inventions and stand
nowhere else, so whatever holds exactly such a string got it from the
environment: botocore's credentials objects (by whatever way the client was
made), an AWS4Auth, a module's `KEY = os.environ[...]`.  At the freeze every
dictionary, attribute, list and closure that holds one is noted; the wake puts
the new value there.

Rejected: leaving it to botocore's own refresh (it needs AWS_CREDENTIAL_EXPIRATION
in the environment, before and after, and knows botocore's objects only).

Not reached: strings inside tuples, sets and other strings (a URL that was
signed at import), and copies in C.
"""

from __future__ import annotations

import contextlib
import gc
import os
import types
from collections.abc import Iterator, Mapping
from typing import Any

from quickthaw.runtime.renewal import heap

_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_RUNTIME_API",
)


class Copy:
    """One place that holds a value of the environment.

    Attributes:
        holder: a dict, list, cell or other object.
        part: its key, its index, its attribute's name; None of a cell.
        variable: whose value it holds.
    """

    __slots__ = ("holder", "part", "variable")

    def __init__(self, holder: Any, part: Any, variable: str) -> None:
        self.holder = holder
        self.part = part
        self.variable = variable


def remember(started: Mapping[str, str]) -> list[Copy]:
    """Every copy in the heap.

    Args:
        started: the environment that the process was started with.
    """
    wanted = {value: name for name in _VARIABLES if (value := started.get(name))}
    ours = {id(started), id(wanted), id(os.environ._data)}  # type: ignore[attr-defined]
    found: list[Copy] = []
    things = heap.objects()
    while things:
        untracked: list[Any] = []
        for thing in things:
            # A module's own references are C code's; those of asyncio in Python 3.12 are to freed objects.
            if id(thing) in ours or issubclass(type(thing), types.ModuleType):
                continue
            referents = gc.get_referents(thing)
            if any(type(part) is str and part in wanted for part in referents):
                found += (
                    Copy(holder, name, wanted[value])
                    for holder, name, value in _parts(thing)
                    if type(value) is str and value in wanted
                )
            # The collector does not track dictionaries of nothing but strings and numbers.
            untracked += (part for part in referents if type(part) is dict and not gc.is_tracked(part))
        things = untracked
    return found


def _parts(thing: Any) -> Iterator[tuple[Any, Any, Any]]:
    """The parts of an object that can be set: what to set it in, key or index or name, and value."""
    kind = type(thing)
    if issubclass(kind, dict):
        yield from ((thing, key, value) for key, value in list(dict.items(thing)))
    elif issubclass(kind, list):
        yield from ((thing, index, value) for index, value in enumerate(thing))
    elif kind is types.CellType:
        yield thing, None, thing.cell_contents
    else:
        yield from _attributes(thing, kind)


def _attributes(thing: Any, kind: type) -> Iterator[tuple[Any, Any, Any]]:
    try:
        named = object.__getattribute__(thing, "__dict__")
    except AttributeError:
        named = None
    if type(named) is dict:
        yield from ((named, name, value) for name, value in list(named.items()))
    for base in kind.__mro__:
        for name, member in vars(base).items():
            if type(member) is types.MemberDescriptorType:  # __slots__
                with contextlib.suppress(AttributeError):  # not set
                    yield thing, name, member.__get__(thing, kind)


def renew(copies: list[Copy], environ: Mapping[str, str]) -> None:
    """Puts the new value everywhere; None where the new environment lacks the variable."""
    for copy in copies:
        value, holder = environ.get(copy.variable), copy.holder
        if isinstance(holder, dict):
            if copy.part in holder:
                dict.__setitem__(holder, copy.part, value)
        elif isinstance(holder, list):
            if copy.part < len(holder):
                list.__setitem__(holder, copy.part, value)
        elif type(holder) is types.CellType:
            holder.cell_contents = value
        else:
            object.__setattr__(holder, copy.part, value)
