"""Talking with a function on its way to the freeze point: its stages, its output, a question at the end."""

from __future__ import annotations

import json
import os
import selectors
import time
from collections.abc import Callable
from typing import Any, Self

from quickthaw.errors import FunctionFailed

_ANSWER_S = 60.0  # seconds to an answer; the walk over a heap of a gigabyte takes some ten
_KEPT_OUTPUT = 64 * 1024  # bytes of the function's output that an error may quote


class Conversation:
    """Reads stages and output until the function is frozen or has failed.

    Args:
        stages: read end of the pipe behind WOKE_FD.
        outputs: read ends of standard output and standard error.
        timeout_s: seconds until the function must be frozen.
    """

    def __init__(self, stages: int, outputs: tuple[int, ...], *, timeout_s: float) -> None:
        self._stages = stages
        self._timeout_s = timeout_s
        self._output = b""
        self._selector = selectors.DefaultSelector()
        for fd in (stages, *outputs):
            self._selector.register(fd, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()

    def output(self) -> str:
        """What the function printed so far, the last 64 KiB."""
        return self._output.decode(errors="replace")

    def until_frozen(self, on_stage: Callable[[str], None]) -> dict[str, Any]:
        """Waits for the freeze point.

        Args:
            on_stage: called with a stage's name when it was reached.

        Returns:
            The message of each stage by its name (of `warmed`, the last one).

        Raises:
            FunctionFailed: it failed, ended, or took too long; its output is in the text.
        """
        return self._until("frozen", f"did not reach the freeze point in {self._timeout_s:.0f} s", on_stage)

    def ask(self, order: int, question: dict[str, Any], stage: str) -> dict[str, Any]:
        """Asks the function, which waits at the freeze point, and waits for the answer.

        Args:
            order: write end of the pipe behind THAW_FD.
            question: see `quickthaw.runtime.freeze`.
            stage: of the answer.

        Raises:
            FunctionFailed: there is no answer.
        """
        os.write(order, b"?" + json.dumps(question).encode() + b"\n")
        answers = self._until(stage, "does not answer at the freeze point", lambda _stage: None)
        return dict(answers[stage])

    def _until(self, last: str, too_late: str, on_stage: Callable[[str], None]) -> dict[str, Any]:
        deadline = time.monotonic() + (self._timeout_s if last == "frozen" else _ANSWER_S)
        found: dict[str, Any] = {}
        rest = b""
        while last not in found:
            ready = self._selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise self._failed(f"the function {too_late}")
            for key, _ in ready:
                data = os.read(key.fd, 65536)
                if key.fd != self._stages:
                    self._output = (self._output + data)[-_KEPT_OUTPUT:]
                    if not data:
                        self._selector.unregister(key.fd)
                    continue
                if not data:
                    raise self._failed("the function ended before the freeze point")
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    stage = json.loads(line)
                    if stage["stage"] == "failed":
                        raise self._failed(stage["error"])
                    found[stage["stage"]] = stage
                    on_stage(stage["stage"])
        return found

    def _failed(self, why: str) -> FunctionFailed:
        # What it printed last may still be in the pipes.
        while ready := self._selector.select(0.2):
            pieces = [os.read(key.fd, 65536) for key, _ in ready if key.fd != self._stages]
            if not any(pieces):
                break
            self._output = (self._output + b"".join(pieces))[-_KEPT_OUTPUT:]
        said = self.output().strip()
        return FunctionFailed(
            f"{why}\n{said}" if said else why, hint="Try it with `quickthaw invoke --cold` first."
        )
