"""The environment becomes the new one, in Python and in C, and what the import had changed is changed again.

What the import did is known from the difference between the environment that
the process was started with and the one at the freeze; applied to another
environment it means:

    set, to something new            set again
    ":"-list grown at an end         grown by the same entries
    deleted                          deleted again
    os.environ.setdefault            set unless the new environment has it

`setdefault` looks like an assignment afterwards, so it is watched.  An
`if "X" not in os.environ` cannot be: a variable that the import assigned, that
the checkpoint did not have and that the new environment has with another
value means a cold start, because nobody knows who wins.

os.environ writes through to the C environment; variables that only C code set
(setenv in a library's initialisation) stay, as they would be set in a cold start.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from types import CodeType

from quickthaw.errors import Declined
from quickthaw.runtime.renewal import watch

_INTERPRETERS = {"LC_CTYPE"}  # set by Python itself at its start, unless it is there (PEP 538)

_defaults: set[str] = set()


class Changes:
    """What the import changed.

    Attributes:
        set: variables set or changed: name, value before (or None), value after.
        removed: variables deleted.
        defaults: variables set by setdefault or by the interpreter.
        path: PYTHONPATH's entries at the start.
    """

    def __init__(self, started: Mapping[str, str], now: Mapping[str, str]) -> None:
        self.set = {key: (started.get(key), value) for key, value in now.items() if started.get(key) != value}
        self.removed = started.keys() - now.keys()
        self.defaults = {key for key in _defaults | _INTERPRETERS if key not in started}
        self.path = _entries(started)


def begin() -> None:
    """Begins to note defaults; call before the function is imported."""
    watch.swap("setdefault", os._Environ, _setdefault_code())


def _setdefault_code() -> CodeType:
    def setdefault(self, key, value):  # type: ignore[no-untyped-def]
        from quickthaw.runtime.renewal import environment, watch

        absent = key not in self
        found = watch.originals["setdefault"](self, key, value)
        environment.defaulted(self, key, absent)
        return found

    return setdefault.__code__


def defaulted(environ: object, key: object, absent: bool) -> None:
    """`environ.setdefault(key)` was called."""
    if absent and environ is os.environ and isinstance(key, str):
        _defaults.add(key)


def remember(started: Mapping[str, str]) -> Changes:
    """Compares with the environment that the process was started with."""
    return Changes(started, dict(os.environ))


def variables(entries: Iterable[str]) -> dict[str, str]:
    """ "K=V" entries as os.environ would take them: the first of a name counts, nameless ones do not."""
    found: dict[str, str] = {}
    for entry in entries:
        key, equals, value = entry.partition("=")
        if key and equals:
            found.setdefault(key, value)
    return found


def renew(changes: Changes, entries: Iterable[str]) -> None:
    """Makes os.environ, and with it the C environment, the new one.

    Raises:
        Declined: the import set a variable that the new environment sets otherwise.
    """
    fresh = variables(entries)
    _renew_path(changes, fresh)
    for key, (before, after) in changes.set.items():
        fresh[key] = _again(key, before, after, fresh.get(key), default=key in changes.defaults)
    for key in changes.removed:
        fresh.pop(key, None)
    for key in os.environ.keys() - fresh.keys():
        del os.environ[key]
    for key, value in fresh.items():
        if os.environ.get(key) != value:
            os.environ[key] = value


def _again(key: str, before: str | None, after: str, now: str | None, *, default: bool) -> str:
    """The value after the change that made `after` of `before`, made to `now`."""
    if now is None:
        return after
    if default:
        return now
    if before is None:
        if now != after:
            raise Declined(
                f"the function set {key} itself when it was frozen, and now the environment sets it;"
                f" freeze with --env {key}=..."
            )
        return after
    head, found, tail = f":{after}:".partition(f":{before}:")
    if before and found:
        # PATH=$PATH:/x at import means "append", whatever PATH is by now.
        return ":".join(part for part in (head.lstrip(":"), now, tail.rstrip(":")) if part)
    return after


def _entries(environ: Mapping[str, str]) -> list[str]:
    return [entry for entry in environ.get("PYTHONPATH", "").split(":") if entry]


def _renew_path(changes: Changes, fresh: Mapping[str, str]) -> None:
    """What the new PYTHONPATH adds is found by imports to come, before what it had at the freeze."""
    added = [entry for entry in _entries(fresh) if entry not in changes.path and entry not in sys.path]
    if added:
        places = [sys.path.index(entry) for entry in changes.path if entry in sys.path]
        at = min(places, default=len(sys.path))
        sys.path[at:at] = added
