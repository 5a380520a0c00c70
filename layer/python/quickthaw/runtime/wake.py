"""What the restored process does before it serves: become this environment's process.

The order is fixed, each step is timed, and the first that fails ends the wake
(the bootstrap then kills the process and starts cold); each is a module of
`renewal` or stands beside this one:

handler       is the function's still the one that was frozen?
clock         monotonic time does not go back
processor     processor time does not, either
environment   os.environ and, through it, the C environment become the new
              ones; what the import itself had changed is applied again
telemetry     the runtime's log descriptor is the inherited one
copies        what the import copied from the environment is the new value: keys, log stream
credentials   botocore's own notions of time and region
randomness    OpenSSL, tempfile, uuid
generators    generators that nobody seeded, of `random` and NumPy
identity      thread ids, time zone
processes     psutil's objects of this process
settings      limits, processors and the like that the import set for its process
libraries     Powertools' cold-start flags
dumps         the fault handler's dump that is due later
hooks         the function's own after-restore hooks, in order, all of them

Then what is left of the runtime client is loaded (`renewal.client`), takes over
the stand-ins of its logging (`renewal.logs`), settings that cannot be taken back
hold again, and it runs.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

from quickthaw import names
from quickthaw.errors import Declined
from quickthaw.runtime import program, report, settings
from quickthaw.runtime.patience import Patience
from quickthaw.runtime.renewal import (
    client,
    clock,
    copies,
    credentials,
    dumps,
    environment,
    generators,
    hooks,
    identity,
    libraries,
    logs,
    processes,
    processor,
    randomness,
    rings,
    watch,
)

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_REASON_CHARACTERS = 2000  # of a reason; an environment variable can hold 128 KiB


class Before:
    """What is noted before the function is imported.

    Attributes:
        settings: of the process.
        stand_ins: the runtime's streams and log handler.
    """

    def __init__(self) -> None:
        self.settings = settings.now()
        dumps.begin()
        generators.begin()
        environment.begin()
        rings.begin()
        self.stand_ins = logs.prepare(os.environ)


class State:
    """What the freeze remembers for the wake; the attributes are what the modules of `renewal` found.

    Attributes:
        stand_ins: the runtime's streams and log handler.
        environment: what the import changed.
        copies: of the environment's values, in the heap.
        clients: botocore's.
        generators: those that nobody seeded.
        openssl: the copies of it.
        processes: psutil's objects of this one.
        dump: that is due later, if one is.
        client: of the Runtime API.
        settings: what the import changed of its process.
        processor: processor time at the freeze.
        clock: the clocks at the freeze.
    """

    def __init__(self, started: dict[str, str], before: Before) -> None:
        self.stand_ins = before.stand_ins
        self.settings = settings.remember(before.settings)
        self.generators = generators.remember()
        self.environment = environment.remember(started)
        self.copies = copies.remember(started)
        self.clients = credentials.remember(started)
        self.openssl = randomness.remember()
        self.processes = processes.remember()
        self.dump = dumps.remember()
        self.client = client.prepare()
        self.processor = processor.remember()
        self.clock = clock.Clock(self.processor.reading)


def begin() -> Before:
    """Before the function is imported: notes what it seeds and sets, and stands in for the runtime."""
    return Before()


def remember(started: dict[str, str], before: Before) -> State:
    """Looks at the function right before the freeze.

    Args:
        started: the environment that the process was started with.
        before: from `begin`.

    Raises:
        CannotFreeze: it holds something that could not be renewed.
    """
    watch.end()
    return State(started, before)


def up(context: dict[str, Any], state: State, handler: str) -> None:
    """Wakes and serves; returns only when the runtime client does.

    Args:
        context: the wake context.
        state: of the freeze.
        handler: `module.function`.
    """

    def kernel_s() -> float:
        return time.monotonic() - state.clock.added_s

    steps: dict[str, float] = {}
    begin = last = kernel_s()
    name = "parent"
    try:
        _end_with_parent(context)
        patience = Patience(
            context, kernel_s, lambda why: _start_cold(context, state, f"the process could not wake: {why}")
        )
        for name, step in _steps(context, state, handler):
            if name == "hooks":
                _hooks_begin(context, patience)
            step()
            now = kernel_s()
            steps[name], last = now - last, now
        name = "runtime"
        runtime, bootstrap = client.renew(state.client)
        logs.hand_over(state.stand_ins, bootstrap)
        now = kernel_s()
        steps["runtime"], last = now - last, now
        name = "settings"
        settings.renew_for_good(state.settings)
        now = kernel_s()
        steps["settings"] += now - last
        patience.lift()
        name, last = "dumps", now
        dumps.renew_for_good()
        now = kernel_s()
        steps["dumps"] += now - last
        _tell(context, {"wake_s": now - begin, "steps": steps, "total_s": now - context["started_s"]})
    except BaseException as error:
        _fail(context, state, name, error)
    runtime.main(["awslambdaric", handler])


def _steps(context: dict[str, Any], state: State, handler: str) -> list[tuple[str, Callable[[], None]]]:
    return [
        ("handler", lambda: _same_handler(context, handler)),
        ("clock", lambda: clock.renew(state.clock)),
        ("processor", lambda: processor.renew(state.processor)),
        ("environment", lambda: environment.renew(state.environment, context["environ"])),
        ("telemetry", lambda: logs.renew_telemetry(given=context["telemetry"])),
        ("copies", lambda: copies.renew(state.copies, os.environ)),
        ("credentials", lambda: credentials.renew(state.clients)),
        ("randomness", lambda: randomness.renew(state.openssl)),
        ("generators", lambda: generators.renew(state.generators)),
        ("identity", identity.renew),
        ("processes", lambda: processes.renew(state.processes)),
        ("settings", lambda: _settings(context, state)),
        ("libraries", libraries.renew),
        ("dumps", lambda: dumps.renew(state.dump)),
        ("hooks", hooks.renew),
    ]


def _settings(context: dict[str, Any], state: State) -> None:
    settings.unbind(set(context.get("bound", ())), set(context.get("processors", ())))  # of CRIU only
    settings.renew(state.settings)


def _same_handler(context: dict[str, Any], handler: str) -> None:
    wanted = environment.variables(context["environ"]).get(names.ENV_HANDLER, handler)
    if wanted != handler:
        raise Declined(f"the snapshot is of handler {handler}, the function's is {wanted}")


def _hooks_begin(context: dict[str, Any], patience: Patience) -> None:
    """Whoever watches the time is told that the function's own code comes next."""
    import snapshot_restore_py

    patience.hooks(len(snapshot_restore_py.get_after_restore()))
    if context["report"] == "woke":
        _write(names.WOKE_FD, {"step": "hooks"})


def _tell(context: dict[str, Any], woke: dict[str, Any]) -> None:
    """Writes the log line, and tells the bootstrap, if one waits, that the process is awake.

    The process writes it, not the bootstrap: then it stands in the log before the first answer.
    """
    with contextlib.suppress(OSError, ValueError):  # a full or closed log is no reason not to serve
        sys.stdout.flush()  # what the hooks printed belongs before the first request
    report.write(
        {
            "engine": context["engine"],
            "mode": context["mode"],
            "reason": context["reason"],
            "snapshot": context.get("snapshot"),
            **context["timings"],
            "wake_s": woke["wake_s"],
            "wake_steps": woke["steps"],
            "total_s": woke["total_s"],
            "cold_init_saved_s": context.get("cold_init_s"),
        },
        os.environ,
    )
    for path in context.get("attempts", ()):  # see `attempts`; with CRIU the bootstrap does it
        with contextlib.suppress(OSError):
            os.unlink(path)
    if context["report"] == "woke":
        _write(names.WOKE_FD, {"woke": True})
    os.close(names.THAW_FD)
    os.close(names.WOKE_FD)


def _fail(context: dict[str, Any], state: State, step: str, failure: BaseException) -> NoReturn:
    """Ends a process that cannot become what it should be; whoever restored it starts cold."""
    if isinstance(failure, Declined):
        error = f"{step}: {failure}"
    else:
        import traceback

        traceback.print_exc()
        error = f"{step}: {type(failure).__name__}: {failure}"
    # It travels in an environment variable, and a hook's exception may say anything.
    error = error.encode("utf-8", "replace").decode().replace("\0", "?")[:_REASON_CHARACTERS]
    if context["report"] == "woke":
        _write(names.WOKE_FD, {"woke": False, "error": error})
        os._exit(1)
    _start_cold(context, state, f"the process could not wake: {error}")


def _start_cold(context: dict[str, Any], state: State, reason: str) -> NoReturn:
    """Native engine: there is no parent to start cold, so this process does, as if it had never thawed."""
    import signal

    environ = environment.variables(context["environ"])
    keep = {0, 1, 2}
    telemetry = environ.get(names.ENV_TELEMETRY, "")
    if context["telemetry"] and telemetry.isdecimal():
        keep.add(int(telemetry))
        os.dup2(names.TELEMETRY_FD, int(telemetry))
    for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        signal.setitimer(timer, 0)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError, ValueError):  # the C library keeps some for itself
            signal.signal(number, signal.SIG_IGN)  # drops what is pending, which the cold start must not get
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    stays = settings.put_back(state.settings)
    if stays:
        reason += f"; settings of the snapshot stay: {stays}"
    os.umask(0o022)
    os.chdir(environ.get(names.ENV_TASK_ROOT, "/"))
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd not in keep:
            with contextlib.suppress(OSError):
                os.set_inheritable(fd, False)
    why = {names.ENV_DECLINED: reason, names.ENV_SINCE: str(context["started_s"])}
    program.become(context["command"], {**environ, **why})


def _end_with_parent(context: dict[str, Any]) -> None:
    """criu engine: the bootstrap is our parent; if it is killed, nobody would know of us."""
    if context["report"] == "woke":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0)


def _write(fd: int, record: dict[str, Any]) -> None:
    os.write(fd, (json.dumps(record) + "\n").encode())
