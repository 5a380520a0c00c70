"""The bootstrap's decision: thaw, or start the original command; one log line either way.

`auto` tries what is fastest first: the native restorer is the exec wrapper
itself and has run before this (its reason to decline stands in
QUICKTHAW_DECLINED), then CRIU where the kernel permits it, then a cold start.
A snapshot in S3 comes here first, and goes back to the restorer with its plan
(`handover`).
Nothing here may end in an error: whatever happens, the runtime's own command
line is started with its environment and its signals as they were.
"""

from __future__ import annotations

import _signal
import posix
import time

from quickthaw import names
from quickthaw.errors import BadSnapshot, Declined
from quickthaw.runtime import attempts, checks, report, restore, watchdog, workdir
from quickthaw.runtime.opened import Opened
from quickthaw.snapshot import manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

    from quickthaw.runtime.remote import Remote


def main(command: list[str], started_s: float) -> NoReturn:
    """Thaws and supervises, or replaces itself by `command`.

    Args:
        command: argv of the original start.
        started_s: CLOCK_MONOTONIC when the bootstrap began.
    """
    environ = initial_environ()
    declined = environ.pop(names.ENV_DECLINED, None)
    started_s = _began(environ.pop(names.ENV_SINCE, None), started_s)
    remote: Remote | None = None
    attempt = None
    try:
        engine = _engine(environ)
        snapshot = environ.get(names.ENV_SNAPSHOT) or names.SNAPSHOT_PATH
        given = environ.get(names.ENV_WATCHDOG)
        if snapshot.startswith(names.S3):
            if engine == "criu" or declined is not None:
                _criu_permitted(declined)  # else nothing needs to be fetched
            # Signatures and TLS, 25 ms: for such a snapshot only.
            from quickthaw.runtime.remote import Remote

            # What a cold start takes stands in the manifest: until that is here, half of Lambda's limit.
            deadline_s = started_s + watchdog.total_s(given, names.INIT_LIMIT_S / 2)
            remote = Remote(snapshot, environ, started_s=started_s, deadline_s=deadline_s)
            found = remote.manifest()
            remote.limit(started_s + watchdog.total_s(given, found.cold_init_s))
            if declined is None and engine != "criu":
                declined = _hand_over(remote, found, command, environ, started_s)
        else:
            opened = Opened(snapshot)
            found = manifest.read(snapshot, directory=opened.fd)
        if engine == "native":
            raise Declined(declined or "the native restorer is not in this layer")
        _criu_permitted(declined)
        handler = environ.get(names.ENV_HANDLER, found.handler)
        if handler != found.handler:
            raise Declined(f"the snapshot is of handler {found.handler}, the function's is {handler}")
        lacks = found.body["process"].get("criu_lacks")
        if lacks:
            raise Declined(_joined(declined, f"CRIU does not give back {lacks[0]}"))
        if remote is not None:
            opened = Opened(remote.unpack(found))
        seen = checks.snapshot_fits(found, opened)
        attempt = restore.Restoration(
            found,
            opened,
            seen=seen,
            mode=environ.get(names.ENV_MODE) or default_mode(found),
            environ=environ,
            declined=declined,
            started_s=started_s,
            remote=remote,
        )
        try:
            before = attempts.begin(found.id)
        except Declined:
            workdir.sweep()  # what the last attempt left
            raise
        if before:
            workdir.sweep()
        pid = attempt.run()
    except (Declined, BadSnapshot, OSError) as reason:
        why = str(reason)
    except Exception as error:  # a defect of ours must not cost the user a start
        why = f"unexpected {type(error).__name__}: {error}"
    else:
        attempt.finish()
        attempts.woke(found.id)
        if remote is not None:
            remote.close()
        _end_as(restore.supervise(pid, attempt))
    if remote is not None:
        remote.close()
    if attempt is not None and attempt.ended_by:
        _end_as(-attempt.ended_by)
    _start_cold(command, environ, why, started_s)


def _began(since: str | None, started_s: float) -> float:
    """When this start began: the native engine may have tried before us, and what it took is lost as well."""
    try:
        return min(started_s, max(float(since), started_s - names.INIT_LIMIT_S)) if since else started_s
    except ValueError:
        return started_s


def _engine(environ: Mapping[str, str]) -> str:
    """The engine that is asked for, if a thaw is.

    Raises:
        Declined: none is, or the settings say nothing that can be meant.
    """
    engine = environ.get(names.ENV_ENGINE) or "auto"
    if engine not in names.ENGINES:
        raise Declined(f"{names.ENV_ENGINE}={engine} is none of {', '.join(names.ENGINES)}")
    if engine == "off":
        raise Declined("engine off")
    mode = environ.get(names.ENV_MODE)
    if mode and mode not in names.MODES:
        raise Declined(f"{names.ENV_MODE}={mode} is none of {', '.join(names.MODES)}")
    if "AWS_LAMBDA_MAX_CONCURRENCY" in environ:
        raise Declined("AWS_LAMBDA_MAX_CONCURRENCY wants several processes; a snapshot is one")
    return engine


def _hand_over(
    remote: Remote, found: manifest.Manifest, command: list[str], environ: Mapping[str, str], started_s: float
) -> str:
    """Goes on as the native restorer; returns why not."""
    from quickthaw.runtime import handover  # for a snapshot in S3 only

    try:
        handover.start_restorer(remote, found, command, environ, started_s)
    except Declined as reason:
        return str(reason)


def _criu_permitted(declined: str | None) -> None:
    if not checks.criu_permitted():
        raise Declined(_joined(declined, checks.CRIU_NOT_PERMITTED))


def default_mode(found: manifest.Manifest) -> str:
    """The fastest mode with defined behaviour for this snapshot."""
    if all(pages["file"] is None for pages in found.pages.values()):
        return "plain"
    return "grow" if found.processes == len(found.pages) == 1 else "async"


def _start_cold(command: list[str], environ: dict[str, str], reason: str, started_s: float) -> NoReturn:
    report.write(
        {
            "engine": "cold",
            "mode": None,
            "reason": reason,
            "snapshot": None,
            "lost_s": time.monotonic() - started_s,
        },
        environ,
    )
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):  # Python ignores these; the next program expects them
        _signal.signal(number, _signal.SIG_DFL)
    original = {_bytes(key): _bytes(value) for key, value in environ.items()}
    last: Exception = ValueError("no command")
    for path in _places(command, environ):
        try:
            posix.execve(path, command, original)
        except OSError as error:
            last = error
    posix.write(2, f"quickthaw: cannot start {command}: {last}\n".encode())
    posix._exit(127)


def _places(command: list[str], environ: Mapping[str, str]) -> list[str]:
    """Where the program may be, as execvp(3) looks for it: an OS-only runtime's Python may have no path."""
    if not command or "/" in command[0]:
        return command[:1]
    search = environ.get("PATH") or "/usr/local/bin:/usr/bin:/bin"
    return [f"{directory or '.'}/{command[0]}" for directory in search.split(":")]


def _end_as(code: int) -> NoReturn:
    """Ends the way the process ended, so that Lambda reports what it would have reported."""
    if code < 0:
        if -code != _signal.SIGKILL:
            _signal.signal(-code, _signal.SIG_DFL)
        posix.kill(posix.getpid(), -code)
    posix._exit(code if code >= 0 else 128 - code)


def initial_environ() -> dict[str, str]:
    """The environment that this process was given.

    Not `posix.environ`: the interpreter may have added LC_CTYPE to it (PEP 538), and the original
    command must get exactly what the platform set.
    """
    with open("/proc/self/environ", "rb") as file:
        entries = file.read().decode("utf-8", "surrogateescape").split("\0")
    return {key: value for key, equals, value in (entry.partition("=") for entry in entries) if equals}


def _joined(first: str | None, second: str) -> str:
    return f"{first}; {second}" if first else second


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")
