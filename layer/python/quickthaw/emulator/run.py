"""One execution environment from its start to its end, as Lambda would drive it.

    start -> init -> (first GET next) -> event -> response -> GET next -> event ... -> kill

What Lambda does when things go wrong, and this does too: an init that fails or
takes over 10 s is done again inside the first invoke; a crash or a timeout
resets the environment, and the next event starts a new process whose init
counts into that event's duration (a "suppressed init").  Lambda's reset keeps
/tmp; ours empties it, unless the spec names a directory for it.

Durations: init from the exec of the runtime process to its first GET next;
an invocation from the moment the event is sent to the next GET next.
"""

from __future__ import annotations

import json
import math
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from quickthaw.emulator import environ
from quickthaw.emulator.api import MAX_EVENT_BYTES, Call, Invocation, RuntimeApi
from quickthaw.emulator.outcome import Failure, answer, thaw_line
from quickthaw.emulator.report import Lines, LogFormat, Report, billed_ms, milliseconds
from quickthaw.emulator.runtime import Runtime
from quickthaw.emulator.site import runtime_site
from quickthaw.errors import UsageError
from quickthaw.names import ENV_SNAPSHOT, INIT_LIMIT_S, S3
from quickthaw.sandbox.layout import interpreter, layout
from quickthaw.sandbox.spec import Bind, Kind, SandboxSpec


@dataclass(frozen=True, kw_only=True)
class FunctionSpec:
    """A function and how to start it; paths are the host's.

    Attributes:
        runtime: Site with awslambdaric; None for the cached one of that Python.
        snapshot: None for a plain cold start, or for one that `env` names in a bucket.
        engine: For the bootstrap: auto, native, criu or off.
        mode: For the criu engine: grow, stream, async, sync or plain; None leaves the choice.
        timeout_s: Of one invocation.
        env: The function's own variables; they go over what the emulator sets.
        deny: See `SandboxSpec`; also the next three.
        before_exec: Called with the host pid when only the exec of the runtime is missing.
        tmp: A directory shown as /tmp, which outlives a reset; None for a new one of memory each time.
    """

    task: Path
    handler: str
    python: Path
    runtime: Path | None = None
    layer: Path | None = None
    snapshot: Path | None = None
    engine: str = "auto"
    mode: str | None = None
    sandbox: Literal["lambda", "none"] = "lambda"
    memory_mb: int = 1769
    timeout_s: float = 30.0
    env: Mapping[str, str] = field(default_factory=dict)
    log_format: LogFormat = "Text"
    name: str = "function"
    deny: frozenset[str] = frozenset()
    cpu_limit: bool = False
    memory_limit: bool = False
    disk_bytes_per_s: int | None = None
    before_exec: Callable[[int], None] | None = None
    tmp: Path | None = None


@dataclass(frozen=True, kw_only=True)
class EnvironmentRun:
    """What one environment did.

    Attributes:
        answers: One per event, as decoded JSON; None where it failed.
        errors: One per event that failed: what the caller of the function gets, and "event", its index.
        init_s: Exec of the runtime process to its first GET next; None if it never came.
        first_response_s: The same start to the arrival of the first response; None if none came.
        billed_ms: Sum over all invocations, init included.
        engine: What started the function: "native", "criu" or "cold".
        reason: Why not a better engine, in the bootstrap's words.
        log: Every line, Lambda's own and the function's, in order.
        max_rss_mb: High-water mark of resident memory in MiB; None if it could not be read.
        bytes_read: From disks, since the exec; None if it could not be read.
        setup_s: What the sandbox cost before the exec; in no other figure.
        thaw: The bootstrap's log line, if there was one.
    """

    answers: tuple[object, ...]
    errors: tuple[Mapping[str, object], ...]
    reports: tuple[Report, ...]
    init_s: float | None
    first_response_s: float | None
    billed_ms: int
    engine: str
    mode: str | None
    reason: str | None
    log: tuple[str, ...]
    max_rss_mb: float | None
    bytes_read: int | None
    setup_s: float
    thaw: Mapping[str, object] | None

    @property
    def ok(self) -> bool:
        """True if every event was answered."""
        return not self.errors


def run_environment(
    spec: FunctionSpec, events: Sequence[bytes], *, on_line: Callable[[str], None] | None = None
) -> EnvironmentRun:
    """Start one environment, send it all events in order, end it.

    Args:
        on_line: Called with each log line as it comes.

    Raises:
        UsageError: No event, or one that is not JSON or too large for Lambda.
        Unavailable: The sandbox cannot be had here.
    """
    if not events:
        raise UsageError("there is no event to send", hint="give at least one with --event")
    for event in events:
        _check_event(event)
    return _run(spec, events, on_line)


def initialise(spec: FunctionSpec) -> EnvironmentRun:
    """Start one environment up to its first GET next, send it nothing, end it.

    Raises:
        Unavailable: The sandbox cannot be had here.
    """
    return _run(spec, (), None)


def _run(
    spec: FunctionSpec, events: Sequence[bytes], on_line: Callable[[str], None] | None
) -> EnvironmentRun:
    with RuntimeApi() as api:
        environment = _Environment(spec, api, on_line or (lambda _: None))
        try:
            return environment.run(events)
        finally:
            environment.runtime.close()


@dataclass(frozen=True, kw_only=True)
class _Invoked:
    """One event's fate: exactly one of `answer` and `error` counts."""

    answer: object
    error: Mapping[str, object] | None
    report: Report
    answered_s: float | None


class _Environment:
    """The run of one environment; its parts that depend on the spec, made once."""

    def __init__(self, spec: FunctionSpec, api: RuntimeApi, on_line: Callable[[str], None]) -> None:
        self._spec = spec
        self._api = api
        self._on_line = on_line
        self._log: list[str] = []
        version = interpreter(spec.python).version
        sandbox = SandboxSpec(
            python=spec.python, task=spec.task, layer=spec.layer, snapshot=spec.snapshot,
            runtime=spec.runtime or runtime_site(spec.python), kind=_kind(spec), memory_mb=spec.memory_mb,
            deny=spec.deny, cpu_limit=spec.cpu_limit, memory_limit=spec.memory_limit,
            disk_bytes_per_s=spec.disk_bytes_per_s,
            binds=() if spec.tmp is None else (Bind(spec.tmp, "/tmp", writable=True),),
        )  # fmt: skip
        where = layout(sandbox)
        argv = [where.python, "-m", "awslambdaric", spec.handler]
        if _thaws(spec):
            argv.insert(0, f"{where.layer}/bin/bootstrap")
        variables = environ.lambda_environ(
            where, name=spec.name, handler=spec.handler, version=version, memory_mb=spec.memory_mb,
            api=api.address, log_format=spec.log_format, engine=spec.engine, mode=spec.mode, own=spec.env,
        )  # fmt: skip
        self.runtime = Runtime(
            sandbox, argv, variables, api=api, print_line=self._print, before_exec=spec.before_exec,
            timeout_s=spec.timeout_s,
        )  # fmt: skip
        self._lines = Lines(
            log_format=spec.log_format, function_name=spec.name, runtime_version=f"python:{version}",
            memory_size_mb=spec.memory_mb,
        )  # fmt: skip

    def run(self, events: Sequence[bytes]) -> EnvironmentRun:
        """Init, all events, end."""
        self._print(self._lines.init_start())
        process = self.runtime.start()
        began_s = process.started_s
        ready = self.runtime.await_next(began_s + INIT_LIMIT_S)
        if isinstance(ready, Failure):
            init_ms = self._report_init(began_s, ready, phase="init")
            # Lambda shows and bills the init that ran into the limit, not one that failed by itself.
            shown_ms = init_ms if ready.status == "timeout" else None
            self.runtime.reset()
        else:
            shown_ms = milliseconds(ready - began_s)
        done = [self._invoke(event, shown_ms if index == 0 else None) for index, event in enumerate(events)]
        self.runtime.reset()
        return self._result(
            done, began_s=began_s, init_s=None if isinstance(ready, Failure) else ready - began_s,
            setup_s=process.setup_s,
        )  # fmt: skip

    def _invoke(self, event: bytes, init_ms: float | None) -> _Invoked:
        """Send one event; after a reset, or an init that failed, init again on its time."""
        request_id = str(uuid.uuid4())
        began_s = time.monotonic()
        ready: float | Failure = began_s
        if not self.runtime.running:
            began_s = self.runtime.start().started_s
            ready = self.runtime.await_next(began_s + self._spec.timeout_s)
            if isinstance(ready, Failure) and ready.status == "error":
                self._report_init(began_s, ready, phase="invoke")
        self._print(self._lines.start(request_id))
        if isinstance(ready, Failure):
            return self._finish(
                request_id, ready, ready, began_s=began_s, ended_s=time.monotonic(), init_ms=init_ms
            )
        deadline_s = began_s + self._spec.timeout_s
        self._offer(request_id, event, deadline_s)
        came = self.runtime.await_answer(request_id, deadline_s)
        if isinstance(came, Call):
            # The invocation lasts until the runtime asks for more.
            ready = self.runtime.await_next(deadline_s)
        broken = came if isinstance(came, Failure) else ready if isinstance(ready, Failure) else None
        ended_s = ready if broken is None and isinstance(ready, float) else time.monotonic()
        return self._finish(request_id, came, broken, began_s=began_s, ended_s=ended_s, init_ms=init_ms)

    def _offer(self, request_id: str, event: bytes, deadline_s: float) -> None:
        left_s = deadline_s - time.monotonic()
        trace = uuid.uuid4().hex
        self._api.offer(Invocation(
            request_id=request_id, event=event, deadline_ms=int((time.time() + left_s) * 1000),
            function_arn=environ.function_arn(self._spec.name),
            trace_id=f"Root=1-{int(time.time()):08x}-{trace[:24]};Parent={trace[:16]};Sampled=0",
        ))  # fmt: skip

    def _finish(
        self, request_id: str, came: Call | Failure, broken: Failure | None, *, began_s: float,
        ended_s: float, init_ms: float | None,
    ) -> _Invoked:  # fmt: skip
        """Write the last lines of an invocation; reset the environment if its runtime is broken."""
        self.runtime.sample()
        if broken is not None:
            self.runtime.reset()
            self._api.withdraw(request_id)
            if broken.answer is None:
                for line in self._lines.failure(request_id, broken.message, broken.error_type):
                    self._print(line)
        self.runtime.drain()
        end = self._lines.end(request_id)
        if end is not None:
            self._print(end)
        timeout = broken is not None and broken.status == "timeout"
        # Lambda bills the limit, not how long it took to notice.
        duration_ms = milliseconds(self._spec.timeout_s if timeout else ended_s - began_s)
        peak = self.runtime.peak_rss_bytes
        report = Report(
            request_id=request_id, duration_ms=duration_ms, billed_ms=billed_ms(duration_ms, init_ms),
            memory_size_mb=self._spec.memory_mb,
            max_memory_mb=None if peak is None else math.ceil(peak / (1 << 20)),
            init_ms=init_ms, status="success" if broken is None else broken.status,
            error_type=None if broken is None else broken.reported_type,
        )  # fmt: skip
        self._print(self._lines.report(report))
        answered, error = answer(request_id, came)
        answered_s = came.at_s if isinstance(came, Call) and error is None else None
        return _Invoked(answer=answered, error=error, report=report, answered_s=answered_s)

    def _report_init(self, began_s: float, failure: Failure, *, phase: Literal["init", "invoke"]) -> float:
        """Write the line of an init that failed; returns its milliseconds."""
        init_ms = milliseconds(time.monotonic() - began_s)
        self._print(
            self._lines.init_report(
                init_ms, phase=phase, status=failure.status, error_type=failure.reported_type
            )
        )
        return init_ms

    def _result(
        self, done: Sequence[_Invoked], *, began_s: float, init_s: float | None, setup_s: float
    ) -> EnvironmentRun:
        answered = [invoked.answered_s for invoked in done if invoked.answered_s is not None]
        thaw = thaw_line(self._log)
        silent = thaw is None and self._spec.snapshot is not None
        reason = "the bootstrap wrote no log line" if silent else _text(thaw, "reason")
        peak = self.runtime.peak_rss_bytes
        return EnvironmentRun(
            answers=tuple(invoked.answer for invoked in done),
            errors=tuple(
                {"event": index, **invoked.error}
                for index, invoked in enumerate(done)
                if invoked.error is not None
            ),
            reports=tuple(invoked.report for invoked in done),
            init_s=init_s,
            first_response_s=answered[0] - began_s if answered else None,
            billed_ms=sum(invoked.report.billed_ms for invoked in done),
            engine=_text(thaw, "engine") or "cold",
            mode=_text(thaw, "mode"),
            reason=reason,
            log=tuple(self._log),
            max_rss_mb=None if peak is None else round(peak / (1 << 20), 1),
            bytes_read=self.runtime.bytes_read,
            setup_s=setup_s,
            thaw=thaw,
        )

    def _print(self, line: str) -> None:
        self._log.append(line)
        self._on_line(line)


def _thaws(spec: FunctionSpec) -> bool:
    """Whether the function has a snapshot, here or in a bucket, and so the wrapper."""
    return spec.snapshot is not None or spec.env.get(ENV_SNAPSHOT, "").startswith(S3)


def _kind(spec: FunctionSpec) -> Kind:
    """The sandbox an engine needs: CRIU wants its one capability and no filter, native wants nothing."""
    if spec.sandbox == "none":
        return "none"
    if not _thaws(spec) or spec.engine in ("native", "off"):
        return "lambda"
    if spec.engine == "auto" and (spec.snapshot is None or (spec.snapshot / "native").is_dir()):
        return "lambda"
    return "criu"


def _check_event(event: bytes) -> None:
    if len(event) > MAX_EVENT_BYTES:
        raise UsageError(
            f"an event has {len(event)} bytes, Lambda takes {MAX_EVENT_BYTES} at most",
            hint="send a smaller one",
        )
    try:
        json.loads(event)
    except ValueError as error:
        raise UsageError(
            f"an event is not JSON: {error}", hint="give a file that holds one JSON value"
        ) from error


def _text(line: Mapping[str, object] | None, key: str) -> str | None:
    value = line.get(key) if line else None
    return None if value is None else str(value)
