"""One answer, and how a question is asked so that nothing can happen to who asks.

A question is a function that tries the thing itself.  It runs in a forked
child with a deadline: a filter that kills, a crash or a hang is an answer
like any other.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

DEADLINE_S = 5.0  # of one question; the slowest takes milliseconds

Question = Callable[[], str | None]  # returns a remark; raises OSError when it is refused


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the table.

    Attributes:
        name: what was asked; the key in the document.
        group: the part of the table.
        ok: whether it is allowed; None where that is no question.
        value: what was found: a number in `unit`, or a text; None where it cannot be known.
        unit: s, bytes or bytes/s; None for a plain number and for text.
        note: why, or how it was found out.
    """

    name: str
    group: str
    ok: bool | None = None
    value: str | int | float | None = None
    unit: str | None = None
    note: str | None = None


def ask(name: str, group: str, question: Question, *, deadline_s: float = DEADLINE_S) -> Finding:
    """Try something in a child.

    Returns:
        `ok` tells whether it worked, `note` what the question remarked, or why it did not work.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        _answer(question, write)
    os.close(write)
    try:
        words = _receive(read, deadline_s)
    finally:
        os.close(read)
        status = _end(child)
    if words is None:
        note = f"no answer within {deadline_s:.0f} s"
    elif not words:  # it did not come to write them
        note = f"killed by {signal.Signals(os.WTERMSIG(status)).name}" if os.WIFSIGNALED(status) else "ended"
    else:
        ok, note = json.loads(words)
        return Finding(name=name, group=group, ok=ok, note=note)
    return Finding(name=name, group=group, ok=False, note=note)


def refusal(error: OSError) -> str:
    """An error as "EPERM: Operation not permitted", and the part that failed where it is known."""
    number = error.errno or 0
    text = f"{errno.errorcode.get(number, number)}: {os.strerror(number)}"
    return f"{error.filename}: {text}" if error.filename else text


def _answer(question: Question, write: int) -> NoReturn:
    try:
        answer: tuple[bool, str | None] = (True, question())
    except OSError as error:
        answer = (False, refusal(error))
    except BaseException as error:  # a defect of the question is no crash of the survey
        answer = (False, f"{type(error).__name__}: {error}")
    os.write(write, json.dumps(answer).encode())
    os._exit(0)


def _receive(read: int, deadline_s: float) -> bytes | None:
    """Everything up to the end of file; None when that takes too long."""
    end_s = time.monotonic() + deadline_s
    words = b""
    while select.select([read], [], [], max(0.0, end_s - time.monotonic()))[0]:
        piece = os.read(read, 4096)
        if not piece:
            return words
        words += piece
    return None


def _end(child: int) -> int:
    """Its wait status; killed first, which changes nothing for one that has ended."""
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]
