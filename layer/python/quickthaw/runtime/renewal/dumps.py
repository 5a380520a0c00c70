"""The fault handler's dump that is due later: its time counts from the thaw, as from a cold start's import.

faulthandler.dump_traceback_later() starts a thread in C that waits until a
moment of the kernel's clock and then reads every thread's frames without the
interpreter's lock.  The clock of a machine that is older than the timeout has
passed that moment, so the dump would come in the middle of the wake: an
unwanted one at best, an exit where that was asked for, and once in some
thousand thaws a SIGSEGV, because the frames change while they are read.

So the two functions are stood in for while the function is imported, the dump
is cancelled at the freeze, and asked for again when the process is awake.  A
reference that was taken meanwhile goes on calling the interpreter's own
through here.

There is one such dump in a process, and while hooks run it is `patience`'s,
which asks the interpreter's own functions for it (`own_later`, `own_cancel`).
What hooks ask for takes its place, as it would anybody's, and is asked for
again after them; what they cancel does not come.
"""

from __future__ import annotations

import faulthandler
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Dump:
    """What was asked for.

    Attributes:
        arguments: positional ones.
        keywords: the others.
        last_s: when the last one comes, of time.monotonic; infinite where it repeats.
    """

    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    last_s: float


own_later: Callable[..., None] = faulthandler.dump_traceback_later
own_cancel: Callable[[], None] = faulthandler.cancel_dump_traceback_later
_asked: list[Dump] = []


def begin() -> None:
    """Begins to note; call before the function is imported."""
    faulthandler.dump_traceback_later = _later
    faulthandler.cancel_dump_traceback_later = _cancel


def _later(*arguments: Any, **keywords: Any) -> None:
    own_later(*arguments, **keywords)
    _asked[:] = [Dump(arguments, keywords, _last_s(*arguments, **keywords))]


def _last_s(timeout: float, repeat: bool = False, file: object = None, exit: bool = False) -> float:
    """The arguments are the interpreter's, which has taken them."""
    return math.inf if repeat else time.monotonic() + timeout


def _cancel() -> None:
    own_cancel()
    _asked.clear()


def remember() -> Dump | None:
    """Cancels the dump that is due, and returns it."""
    faulthandler.dump_traceback_later = own_later
    faulthandler.cancel_dump_traceback_later = own_cancel
    asked = [dump for dump in _asked if time.monotonic() < dump.last_s]
    _cancel()
    return asked[0] if asked else None


def renew(dump: Dump | None) -> None:
    """At the wake, before the hooks: notes it again, with what they ask for."""
    begin()
    _asked[:] = [replace(dump, last_s=math.inf)] if dump else []  # its moment was of another clock


def renew_for_good() -> None:
    """The process is awake: the dump that was noted last is due, its time counts from here."""
    dump = remember()
    if dump:
        own_later(*dump.arguments, **dump.keywords)
