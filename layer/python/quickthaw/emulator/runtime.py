"""The runtime's process as the environment has it: started, listened to, reset.

One thread waits for the Runtime API, the output and the process's end at once.
Output is drained before anything the process said over HTTP is acted on: it
was printed before.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Mapping, Sequence

from quickthaw.emulator.api import Call, RuntimeApi
from quickthaw.emulator.outcome import Failure, exited, init_failed, timed_out
from quickthaw.emulator.output import Output
from quickthaw.sandbox.process import SandboxProcess, start
from quickthaw.sandbox.spec import SandboxSpec


class Runtime:
    """At most one process at a time; `start` makes it, `reset` ends it.

    Attributes:
        peak_rss_bytes: Highest resident memory of all processes so far; None if never read.
        bytes_read: From disks, by the process that read most; None if never read.
    """

    def __init__(
        self, sandbox: SandboxSpec, argv: Sequence[str], environ: Mapping[str, str], *, api: RuntimeApi,
        print_line: Callable[[str], None], before_exec: Callable[[int], None] | None, timeout_s: float,
    ) -> None:  # fmt: skip
        self._sandbox = sandbox
        self._argv = argv
        self._environ = environ
        self._api = api
        self._output = Output(print_line)
        self._before_exec = before_exec
        self._timeout_s = timeout_s
        self._process: SandboxProcess | None = None
        self.peak_rss_bytes: int | None = None
        self.bytes_read: int | None = None

    @property
    def running(self) -> bool:
        """True between `start` and `reset`."""
        return self._process is not None

    def start(self) -> SandboxProcess:
        """Start the process in a new sandbox."""
        end = self._output.write_end
        self._process = start(
            self._sandbox, self._argv, self._environ, stdout=end, stderr=end, before_exec=self._before_exec
        )
        return self._process

    def close(self) -> None:
        """End the process and forget its output."""
        self.reset()
        self._output.close()

    def reset(self) -> None:
        """End the process, keep what it printed; harmless when there is none."""
        if self._process is None:
            return
        self.sample()
        self._process.kill()
        self._process = None
        self._output.drain(flush=True)
        while self._api.take() is not None:
            continue  # said by a process that is no more

    def drain(self) -> None:
        """Print what the process has written so far, an unfinished line too."""
        self._output.drain(flush=True)

    def sample(self) -> None:
        """Read memory and disk figures, while the process can still be asked."""
        if self._process is None:
            return
        peak, read = self._process.peak_rss_bytes(), self._process.bytes_read()
        if peak is not None:
            self.peak_rss_bytes = max(peak, self.peak_rss_bytes or 0)
        if read is not None:
            self.bytes_read = max(read, self.bytes_read or 0)

    def await_next(self, deadline_s: float) -> float | Failure:
        """Wait until the runtime asks for an event; returns when it did (CLOCK_MONOTONIC)."""
        while True:
            call = self._call(deadline_s)
            if isinstance(call, Failure):
                return call
            if call.kind == "next":
                assert self._process is not None
                self._process.end_burst()
                self._process.glance()  # it may crash on the next event, and nobody can be asked then
                return call.at_s
            if call.kind in ("init error", "restore error"):
                return init_failed(call)
            if call.kind == "restore next":
                self._api.release_restore()

    def await_answer(self, request_id: str, deadline_s: float) -> Call | Failure:
        """Wait for the response, or the error, of an invocation."""
        while True:
            call = self._call(deadline_s)
            if isinstance(call, Failure) or call.request_id == request_id:
                return call

    def _call(self, deadline_s: float) -> Call | Failure:
        """The next thing the runtime says; its end and the deadline are failures."""
        process = self._process
        assert process is not None
        while True:
            call = self._api.take()
            if call is not None:
                self._output.drain()
                return call
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return timed_out(self._timeout_s)
            api, output, end = self._api.fileno(), self._output.fileno(), process.fileno()
            readable, _, _ = select.select([api, output, end], [], [], left_s)
            if output in readable:
                self._output.drain()
            if end in readable and api not in readable:
                self._output.drain(flush=True)
                return exited(process.wait())
