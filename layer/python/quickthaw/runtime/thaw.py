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
from quickthaw.runtime import attempts, checks, program, report, restore, watchdog, workdir
from quickthaw.runtime.opened import Opened
from quickthaw.snapshot import manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

    from quickthaw.runtime.early import Early
    from quickthaw.runtime.remote import Remote


def main(command: list[str], started_s: float, early: Early | None = None) -> NoReturn:
    """Thaws and supervises, or replaces itself by `command`.

    Args:
        command: argv of the original start.
        started_s: CLOCK_MONOTONIC when the bootstrap began.
        early: a CRIU that was started before us.
    """
    environ = initial_environ()
    declined = environ.pop(names.ENV_DECLINED, None)
    environ.pop(names.ENV_STARTED, None)
    started_s = _began(environ.pop(names.ENV_SINCE, None), started_s)
    if early is not None:
        started_s = min(started_s, early.spawned_s)
    thaw = _Thaw(command, environ, declined, started_s, early)
    try:
        pid = thaw.run()
    except (Declined, BadSnapshot, OSError) as reason:
        why = str(reason)
    except Exception as error:  # a defect of ours must not cost the user a start
        why = f"unexpected {type(error).__name__}: {error}"
    else:
        _end_as(thaw.supervise(pid))
    thaw.give_up()
    _start_cold(command, environ, why, started_s)


class _Thaw:
    """A thaw by CRIU, or the way to the native restorer: `run`, then `supervise` or `give_up`."""

    def __init__(
        self, command: list[str], environ: Mapping[str, str], declined: str | None, started_s: float,
        early: Early | None,
    ) -> None:  # fmt: skip
        """What is asked for.

        Args:
            command: argv of the original start.
            environ: of the original start.
            declined: why the native engine did not thaw; None: it has not been asked.
            started_s: CLOCK_MONOTONIC when this start began.
            early: a CRIU that was started before us.
        """
        self.early = early
        self.command = command
        self.environ = environ
        self.declined = declined
        self.started_s = started_s
        self.opened: Opened | None = None
        self.remote: Remote | None = None
        self.attempt: attempts.Attempt | None = None
        self.restoration: restore.Restoration | None = None
        self._check_s = 0.0  # of a snapshot in S3 without its manifest, which is parsed as it is fetched

    def run(self) -> int:
        """The pid of the woken process.

        Raises:
            Declined, BadSnapshot, OSError: there is none, and why.
        """
        engine = _engine(self.environ)
        snapshot = self.environ.get(names.ENV_SNAPSHOT) or names.SNAPSHOT_PATH
        found = self._fetch(snapshot, engine) if snapshot.startswith(names.S3) else self._open(snapshot)
        if engine == "native":
            raise Declined(self.declined or "the native restorer is not in this layer")
        self._suits_criu(found)
        self._count(found)
        assert self.attempt is not None
        try:
            self.restoration = self._prepare(found)
            return self.restoration.run()
        except BaseException:
            if self.restoration is None or not self.restoration.tried:
                self.attempt.withdraw()
            raise

    def _open(self, snapshot: str) -> manifest.Manifest:
        """The manifest of a directory."""
        begin = time.monotonic()
        self.opened = Opened(snapshot)
        found = manifest.read(snapshot, directory=self.opened.fd)
        self._check_s = time.monotonic() - begin
        return found

    def _fetch(self, snapshot: str, engine: str) -> manifest.Manifest:
        """The manifest of a snapshot in S3; where the native engine may have it, this process becomes it."""
        if engine == "criu" or self.declined is not None:
            _criu_permitted(self.declined)  # else nothing needs to be fetched
        # Signatures and TLS, 25 ms: for such a snapshot only.
        from quickthaw.runtime.remote import Remote

        given = self.environ.get(names.ENV_WATCHDOG)
        # What a cold start takes stands in the manifest: until that is here, half of Lambda's limit.
        deadline_s = self.started_s + watchdog.total_s(given, names.INIT_LIMIT_S / 2)
        self.remote = Remote(snapshot, self.environ, started_s=self.started_s, deadline_s=deadline_s)
        found = self.remote.manifest()
        self.remote.limit(self.started_s + watchdog.total_s(given, found.cold_init_s))
        if self.declined is None and engine != "criu":
            self.declined = self._hand_over(self.remote, found)
        return found

    def _hand_over(self, remote: Remote, found: manifest.Manifest) -> str:
        """Goes on as the native restorer; returns why not."""
        from quickthaw.runtime import handover  # for a snapshot in S3 only

        try:
            handover.start_restorer(remote, found, self.command, self.environ, self.started_s)
        except Declined as reason:
            return str(reason)

    def _suits_criu(self, found: manifest.Manifest) -> None:
        """What the manifest alone tells.

        Raises:
            Declined: CRIU cannot or shall not thaw this.
        """
        _criu_permitted(self.declined)
        handler = self.environ.get(names.ENV_HANDLER, found.handler)
        if handler != found.handler:
            raise Declined(f"the snapshot is of handler {found.handler}, the function's is {handler}")
        lacks = found.body["process"].get("criu_lacks")
        if lacks:
            raise Declined(_joined(self.declined, f"CRIU does not give back {lacks[0]}"))

    def _count(self, found: manifest.Manifest) -> None:
        """Begins an attempt, and removes what a killed bootstrap left, one that came to an attempt or not.

        Raises:
            Declined: too many came to nothing.
        """
        try:
            self.attempt = attempts.Attempt(found.id)
        finally:
            workdir.sweep(but=None if self.early is None else self.early.work)

    def _prepare(self, found: manifest.Manifest) -> restore.Restoration:
        """Everything up to the start of CRIU; from S3 that is the small files.

        Raises:
            Declined, OSError: a thaw is not to be tried.
        """
        if self.remote is not None:
            self.opened = Opened(self.remote.unpack(found))
        assert self.opened is not None
        begin = time.monotonic()
        seen = checks.snapshot_fits(found, self.opened)
        self._check_s += time.monotonic() - begin
        restoration = restore.Restoration(
            found,
            self.opened,
            seen=seen,
            mode=self.environ.get(names.ENV_MODE) or default_mode(found),
            environ=self.environ,
            declined=self.declined,
            started_s=self.started_s,
            check_s=self._check_s,
            remote=self.remote,
            early=self.early,
        )
        self.early = None
        return restoration

    def supervise(self, pid: int) -> int:
        """Leaves no name in /tmp, and is the parent of the process; returns how that ended."""
        assert self.restoration is not None and self.attempt is not None
        self.restoration.finish()
        if self.remote is not None:
            self.remote.close()
        self.attempt.woke()  # last: what a killed bootstrap leaves is swept only where it counts as failed
        return restore.supervise(pid, self.restoration, self._give_back)

    def _give_back(self) -> None:
        """Room that nothing but our descriptors takes: of the decoded pages, and of fetched ones."""
        assert self.restoration is not None and self.opened is not None
        self.restoration.feed.close()
        self.opened.close()
        if self.remote is not None:
            self.remote.finish()

    def give_up(self) -> None:
        """Leaves nothing behind, and ends where a signal told us to."""
        if self.early is not None:
            self.early.end()
        if self.remote is not None:
            self.remote.close()
        if self.restoration is not None and self.restoration.ended_by:
            _end_as(-self.restoration.ended_by)


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
    program.become(command, environ)


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
