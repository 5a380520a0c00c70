"""What the restored process does before it serves: become this environment's process.

The order is fixed, each step is timed, and the first that fails ends the wake
(the bootstrap then kills the process and starts cold):

handler       is the function's still the one that was frozen?
clock         monotonic time must not have gone back; the checkpoint runs in a time namespace whose
              clocks begin at zero, so only a machine that has just been started is too young
environment   os.environ and, through it, the C environment become the new
              ones; what the import itself had changed is applied again
telemetry     the runtime's log descriptor is the inherited one
credentials   every botocore credentials object made from the checkpoint's
              dummy keys gets the new keys
randomness    `random`, NumPy's global state, OpenSSL, tempfile's names
identity      thread ids, time zone
libraries     Powertools' cold-start flags
hooks         the function's own after-restore hooks, in order

Credentials are patched rather than left to botocore's own refresh (which
needs AWS_CREDENTIAL_EXPIRATION in the environment, before and after): the
objects are found once, at the freeze, where walking the heap costs nothing,
and the function's environment stays as Lambda made it.
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
from quickthaw.runtime import report

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class State:
    """What the freeze remembers for the wake.

    Attributes:
        set: variables that the import set or changed: name, value before (or None), value after.
        removed: variables that the import deleted.
        credentials: botocore credentials objects that hold the checkpoint's keys.
        frozen_s: CLOCK_MONOTONIC at the freeze.
    """

    def __init__(
        self, changed: dict[str, tuple[str | None, str]], removed: set[str], credentials: list[Any]
    ) -> None:
        self.set = changed
        self.removed = removed
        self.credentials = credentials
        self.frozen_s = time.monotonic()


def remember(started: dict[str, str]) -> State:
    """Looks at the function right before the freeze.

    Args:
        started: the environment that the process was started with.
    """
    now = dict(os.environ)
    changed = {key: (started.get(key), value) for key, value in now.items() if started.get(key) != value}
    return State(changed, started.keys() - now.keys(), _dummy_credentials(started))


def up(context: dict[str, Any], state: State, handler: str) -> None:
    """Wakes and serves; returns only when the runtime client does.

    Args:
        context: the wake context.
        state: of the freeze.
        handler: `module.function`.
    """
    steps: dict[str, float] = {}
    begin = last = time.monotonic()
    name = "parent"
    try:
        _end_with_parent(context)
        for name, step in _steps(context, state, handler):
            step()
            now = time.monotonic()
            steps[name], last = now - last, now
        name = "runtime"
        from awslambdaric import __main__ as runtime  # loads the native client, which reads the address now

        steps["runtime"] = time.monotonic() - last
        _tell(context, {"wake_s": time.monotonic() - begin, "steps": steps})
    except BaseException as error:
        _fail(context, f"{name}: {type(error).__name__}: {error}")
    runtime.main(["awslambdaric", handler])


def _steps(context: dict[str, Any], state: State, handler: str) -> list[tuple[str, Callable[[], None]]]:
    return [
        ("handler", lambda: _same_handler(context, handler)),
        ("clock", lambda: _later(state)),
        ("environment", lambda: _environment(context, state)),
        ("telemetry", lambda: _telemetry(context)),
        ("credentials", lambda: _credentials(state)),
        ("randomness", _randomness),
        ("identity", _identity),
        ("libraries", _libraries),
        ("hooks", _hooks),
    ]


def _same_handler(context: dict[str, Any], handler: str) -> None:
    wanted = _variables(context).get(names.ENV_HANDLER, handler)
    if wanted != handler:
        raise Declined(f"the snapshot is of handler {handler}, the function's is {wanted}")


def _later(state: State) -> None:
    """What the function read from the clock before the freeze must not lie ahead of it now."""
    now = time.monotonic()
    if now < state.frozen_s:
        raise Declined(
            f"the monotonic clock stands at {now:.0f} s, at {state.frozen_s:.0f} s when it was frozen"
        )


def _variables(context: dict[str, Any]) -> dict[str, str]:
    return dict(entry.split("=", 1) for entry in context["environ"] if "=" in entry)


def _environment(context: dict[str, Any], state: State) -> None:
    fresh = _variables(context)
    for key, (before, after) in state.set.items():
        # PATH=$PATH:/x at import means "append", whatever PATH is by now.
        if before and key in fresh and after.startswith(f"{before}:"):
            fresh[key] += after[len(before) :]
        elif before and key in fresh and after.endswith(f":{before}"):
            fresh[key] = after[: -len(before)] + fresh[key]
        else:
            fresh[key] = after
    for key in state.removed:
        fresh.pop(key, None)
    for key in os.environ.keys() - fresh.keys():
        del os.environ[key]
    for key, value in fresh.items():
        if os.environ.get(key) != value:
            os.environ[key] = value


def _telemetry(context: dict[str, Any]) -> None:
    if context["telemetry"]:
        os.environ[names.ENV_TELEMETRY] = str(names.TELEMETRY_FD)
    else:
        os.environ.pop(names.ENV_TELEMETRY, None)
        os.close(names.TELEMETRY_FD)


def _dummy_credentials(started: dict[str, str]) -> list[Any]:
    module = sys.modules.get("botocore.credentials")
    key = started.get("AWS_ACCESS_KEY_ID")
    if module is None or not key:
        return []
    import gc

    # A hook may have called gc.freeze(), as it should; get_objects() does not see what is frozen.
    frozen = gc.get_freeze_count() > 0
    if frozen:
        gc.unfreeze()
    # RefreshableCredentials keep their keys behind properties, in attributes of the same name with "_".
    found = [
        thing
        for thing in gc.get_objects()
        if isinstance(thing, module.Credentials)
        and key in (vars(thing).get("access_key"), vars(thing).get("_access_key"))
    ]
    if frozen:
        gc.freeze()
    return found


def _credentials(state: State) -> None:
    if not state.credentials:
        return
    new = {
        "access_key": os.environ.get("AWS_ACCESS_KEY_ID"),
        "secret_key": os.environ.get("AWS_SECRET_ACCESS_KEY"),
        "token": os.environ.get("AWS_SESSION_TOKEN"),
    }
    for thing in state.credentials:
        for name, value in new.items():
            setattr(thing, f"_{name}" if f"_{name}" in vars(thing) else name, value)


def _randomness() -> None:
    if "random" in sys.modules:
        sys.modules["random"].seed()
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    if "_ssl" in sys.modules:
        # OpenSSL reseeds after a fork by comparing pids, and the pid is the frozen one.
        sys.modules["_ssl"].RAND_add(os.urandom(32), 32.0)
    if "tempfile" in sys.modules:
        sys.modules["tempfile"]._name_sequence = None  # type: ignore[attr-defined]


def _identity() -> None:
    import threading

    threading.main_thread()._native_id = threading.get_native_id()  # type: ignore[attr-defined]
    time.tzset()


def _libraries() -> None:
    """Powertools tells cold starts by module globals that a warm-up has already cleared."""
    for name in (
        "aws_lambda_powertools.logging.logger",
        "aws_lambda_powertools.metrics.base",
        "aws_lambda_powertools.metrics.metrics",
        "aws_lambda_powertools.metrics.provider.cold_start",
        "aws_lambda_powertools.tracing.tracer",
    ):
        module = sys.modules.get(name)
        if module is not None and hasattr(module, "is_cold_start"):
            module.is_cold_start = True  # type: ignore[attr-defined]


def _hooks() -> None:
    from awslambdaric import lambda_runtime_hooks_runner

    lambda_runtime_hooks_runner.run_after_restore()


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
            "total_s": time.monotonic() - context["started_s"],
            "cold_init_saved_s": context.get("cold_init_s"),
        },
        os.environ,
    )
    if context["report"] == "woke":
        _write(names.WOKE_FD, {"woke": True})
    os.close(names.THAW_FD)
    os.close(names.WOKE_FD)


def _fail(context: dict[str, Any], error: str) -> NoReturn:
    """Ends a process that cannot become what it should be; whoever restored it starts cold."""
    import traceback

    traceback.print_exc()
    if context["report"] == "woke":
        _write(names.WOKE_FD, {"woke": False, "error": error})
    else:
        _start_cold(context, f"the process could not wake: {error}")
    os._exit(1)


def _start_cold(context: dict[str, Any], reason: str) -> None:
    """Native engine: there is no parent to start cold, so this process does, as if it had never thawed."""
    import signal

    environ = _variables(context)
    keep = {0, 1, 2}
    telemetry = environ.get(names.ENV_TELEMETRY, "")
    if context["telemetry"] and telemetry.isdecimal():
        keep.add(int(telemetry))
        os.dup2(names.TELEMETRY_FD, int(telemetry))
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError, ValueError):  # the C library keeps some for itself
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        signal.setitimer(timer, 0)
    os.umask(0o022)
    os.chdir(environ.get(names.ENV_TASK_ROOT, "/"))
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd not in keep:
            with contextlib.suppress(OSError):
                os.set_inheritable(fd, False)
    command = context["command"]
    os.execvpe(command[0], command, {**environ, names.ENV_DECLINED: reason})


def _end_with_parent(context: dict[str, Any]) -> None:
    """criu engine: the bootstrap is our parent; if it is killed, nobody would know of us."""
    if context["report"] == "woke":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0)


def _write(fd: int, record: dict[str, Any]) -> None:
    os.write(fd, (json.dumps(record) + "\n").encode())
