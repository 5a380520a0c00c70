"""The criu engine: spawn CRIU, feed it pages, release the process, and be its parent.

    spawn CRIU ---- restores ----------------> exits 0 --+
                                                         +--> wake context --> woke?
    thread:  decode, check, deliver ---------> done -----+

The frozen process sits in read(THAW_FD), whatever CRIU did with it; it gets
its wake context only when CRIU has ended with 0 *and* every page is delivered
and checked.  CRIU's exit code alone proves nothing: the process itself must
say that it woke.  Anything else (CRIU fails, a block is bad, time is up) kills
CRIU and the process, removes the work directory and raises `Declined`; the
caller starts cold.

A thread waits for each thing that blocks and says so through one pipe; the
main thread polls that pipe and the process's woke descriptor.  (pidfd_open
would spare a thread; sandboxes refuse it.)
"""

from __future__ import annotations

import _signal
import _thread
import posix
import select
import time

from quickthaw import names
from quickthaw.errors import BadSnapshot, Declined
from quickthaw.runtime import checks, criu_command, modes, placement, program, watchdog, workdir
from quickthaw.runtime.feed import write_file
from quickthaw.snapshot import plainjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from quickthaw.runtime.early import Early
    from quickthaw.runtime.opened import Opened
    from quickthaw.runtime.remote import Remote
    from quickthaw.snapshot.manifest import Manifest

_FIRST_ANSWER_S = 0.1  # a first request takes 10 ms of what a thaw is for; what is freed later is only room


class Restoration:
    """One attempt: `run` once, then `finish`."""

    def __init__(
        self,
        manifest: Manifest,
        opened: Opened,
        *,
        seen: checks.Stamps,
        mode: str,
        environ: Mapping[str, str],
        declined: str | None,
        started_s: float,
        check_s: float,
        remote: Remote | None = None,
        early: Early | None = None,
    ) -> None:
        """What to restore.

        Args:
            manifest: of the snapshot.
            opened: its files, checked.
            seen: the files that the function maps, as they were compared.
            mode: one of `modes.MODES`.
            environ: what the process is to find.
            declined: why the native engine did not thaw, for the log.
            started_s: CLOCK_MONOTONIC when the bootstrap began.
            check_s: seconds that the checks have taken so far, for the log.
            remote: what fills the directory while it is restored, if it comes from S3.
            early: a CRIU that was started before us; it is taken over, or ended where it does not fit.

        Raises:
            Declined: QUICKTHAW_WATCHDOG is no number.
        """
        self.manifest = manifest
        self.opened = opened
        self.seen = seen
        self.mode = mode
        self.environ = environ
        self.declined = declined
        self.started_s = started_s
        self.check_s = check_s
        # Environments may share /tmp, and their pids are alike.
        self.work = f"{workdir.PREFIX}{posix.getpid()}-{posix.urandom(4).hex()}"
        self._made: workdir.WorkDirectory | None = None
        self.criu = environ.get(names.ENV_CRIU) or names.CRIU_PATH
        liblz4 = names.LIBLZ4_PATH
        self.remote = remote
        self.feed = feed = modes.MODES[mode](
            manifest, opened, self.work, liblz4, None if remote is None else remote.arrived
        )
        self.watchdog = watchdog.Watchdog(
            started_s,
            given=environ.get(names.ENV_WATCHDOG),
            cold_init_s=manifest.cold_init_s,
            delivered=lambda: feed.delivered + (early.delivered if early is not None else 0),
        )
        # A network may be silent for longer than a disk; how long in all is `transfer`'s business too.
        self.watchdog.patient = remote is not None
        self.placement = placement.Placement(apart=feed.apart)
        self.ended_by = 0  # signal that told us to end, while there was no process to pass it to
        self._criu_pid = 0
        self._criu_done = False
        self._events_r, self._events_w = posix.pipe2(posix.O_CLOEXEC)
        self.early = early
        if early is not None and not self._fits(early):
            early.end()
            self.early = early = None
        if early is None:
            self._thaw_r, self._thaw_w = posix.pipe2(posix.O_CLOEXEC)
            self._woke_r, self._woke_w = posix.pipe2(posix.O_CLOEXEC)
        else:
            self._take_over(early)

    def _fits(self, early: Early) -> bool:
        begin = time.monotonic()
        fits = self.mode == "grow" and early.fits(self.opened, self._criu_cache(), self.seen)
        self.check_s += time.monotonic() - begin
        return fits

    def _take_over(self, early: Early) -> None:
        self.feed.take_over(early)
        self._thaw_r, self._thaw_w, self._woke_r, self._woke_w = -1, early.thaw_w, early.woke_r, -1
        self.work = early.work
        self._made = workdir.WorkDirectory(early.work, lock=early.lock)
        self._criu_pid = early.pid
        self.watchdog.pids = [early.pid, self.manifest.pid]
        self.placement.found_criu(early.bound)

    def run(self) -> int:
        """Restores and wakes the process.

        Returns:
            Its pid; it is our child, and has written the log line.

        Raises:
            Declined: it did not work; nothing of the attempt is left.
        """
        try:
            return self._run()
        except (OSError, BadSnapshot) as error:
            self._give_up()
            raise Declined(str(error)) from error
        except BaseException:
            self._give_up()
            raise

    def _run(self) -> int:
        for number in program.ENDING:
            if _signal.getsignal(number) is not _signal.SIG_IGN:  # what is ignored now must be after an exec
                _signal.signal(number, self._told_to_end)
        if self.early is None:
            self._made = workdir.WorkDirectory(self.work)
            self.feed.prepare()
        else:
            spawned_s = self.early.spawned_s
            self._start_watch()
        if self.feed.gentle:
            _signal.signal(_signal.SIGIO, _signal.SIG_IGN)  # a lease break must not end us
        if self.feed.first:
            self._start_feed()
            self._wait_for({"fed"})
        if self.early is None:
            spawned_s = time.monotonic()
            self._spawn()
            self._start_watch()
        if not self.feed.first:
            self._start_feed()
        self._wait_for({"criu"} if self.feed.first else {"fed", "criu"})
        begin = time.monotonic()
        checks.files_stay(self.seen)  # CRIU has them open now
        restored_s = time.monotonic()
        self.check_s += restored_s - begin
        self._release(
            {
                "bytes_read": self.feed.bytes_read,
                "check_s": self.check_s,
                "decompress_s": self.feed.decompress_s,
                "wait_s": self.feed.wait_s,
                "restore_s": restored_s - spawned_s,
                **({} if self.remote is None else self.remote.timings()),
            }
        )
        self._wait_for({"woke"})
        return self.manifest.pid

    # --- what blocks, and the pipe on which it is told ------------------------

    def _start_feed(self) -> None:
        _thread.start_new_thread(self._run_feed, ())

    def _told_to_end(self, number: int, _frame: object) -> None:
        """A signal to the bootstrap before the process is awake: no thaw any more, and no cold start."""
        self.ended_by = number
        self._tell({"event": "failed", "why": f"signal {number} during the thaw"})

    def _run_feed(self) -> None:
        try:
            self.placement.take_feed()
            self.feed.run()
        except (BrokenPipeError, ConnectionError):
            pass  # CRIU went away; how it ended is the better reason, and is told by the other thread
        except BaseException as error:
            self._tell({"event": "failed", "why": str(error)})
        else:
            self._tell({"event": "fed"})

    def _start_watch(self) -> None:
        _thread.start_new_thread(self._watch_criu, ())

    def _watch_criu(self) -> None:
        _, status = posix.waitpid(self._criu_pid, 0)
        self._criu_done = True
        code = posix.waitstatus_to_exitcode(status)
        if code == 0:
            self._tell({"event": "criu"})
        else:
            self._tell({"event": "failed", "why": f"CRIU ended with {_ending(code)}", "criu": True})

    def _tell(self, event: dict[str, object]) -> None:
        posix.write(self._events_w, (plainjson.dumps(event) + "\n").encode())

    def _wait_for(self, wanted: set[str]) -> dict[str, object]:
        """Polls until every wanted event was told; returns the last one.

        Raises:
            Declined: a thread failed, the process died or could not wake, or the watchdog gives up.
        """
        poll = select.poll()
        poll.register(self._events_r, select.POLLIN)
        woke_fd = self._woke_r if "woke" in wanted else None
        if woke_fd is not None:
            poll.register(woke_fd, select.POLLIN)
        missing, last = set(wanted), {}
        while missing:
            ready = poll.poll(watchdog.TICK_S * 1000)
            if not ready:
                self.watchdog.look(missing)
            for fd, _ in ready:
                for event in self._events(fd):
                    if event.get("event") == "failed":
                        raise Declined(self._why(event))
                    if event.get("step") == "hooks":
                        self.watchdog.patient = True
                    last = event
                    missing.discard(str(event.get("event")))
        return last

    def _events(self, fd: int) -> list[dict[str, object]]:
        data = posix.read(fd, 65536)
        if fd == self._woke_r:
            while data and not data.endswith(b"\n"):
                piece = posix.read(fd, 65536)
                if not piece:
                    break
                data += piece
            if not data.endswith(b"\n"):
                return [
                    {"event": "failed", "why": f"the process ended {self._end_of_child()} before it woke"}
                ]
        events = []
        for text in data.decode().splitlines():
            event = plainjson.loads(text)
            assert isinstance(event, dict)
            if "woke" in event:
                event["event"] = "woke" if event["woke"] else "failed"
                event["why"] = f"the process could not wake: {event.get('error')}"
            events.append(event)
        return events

    def _why(self, event: dict[str, object]) -> str:
        """The reason of a failure; CRIU's own last error is the better one where CRIU ended."""
        why = str(event["why"])
        if event.get("criu"):
            error = _last_error(f"{self.work}/restore.log")
            return f"{why}: {error}" if error else why
        return why

    # --- CRIU and the process ---------------------------------------------------

    def _spawn(self) -> None:
        pipes = self.manifest.pipes
        sources = {1: 1, 2: 2, names.THAW_FD: self._thaw_r, names.WOKE_FD: self._woke_w}
        sources[names.TELEMETRY_FD] = _telemetry(self.environ)
        actions, inherit = [], {}
        for fd, place in criu_command.inherited(pipes).items():
            actions.append((posix.POSIX_SPAWN_DUP2, sources[fd], place))
            inherit[pipes[fd]] = place
        argv = criu_command.restore(
            criu=self.criu, images=self.feed.images, work=self.work, inherit=inherit, stream=self.feed.stream
        )
        environ = criu_command.environ(cache=self._make_cache())
        self.placement.take_criu()
        try:
            self._criu_pid = posix.posix_spawn(
                self.criu,
                argv,
                environ,
                file_actions=actions,
                setsigdef=[_signal.SIGIO, _signal.SIGPIPE],
                setpgroup=0,  # its helpers go with it
            )
        finally:
            self.placement.take_all()
        self.watchdog.pids = [self._criu_pid, self.manifest.pid]
        posix.close(self._thaw_r)
        posix.close(self._woke_w)
        self._thaw_r = self._woke_w = -1

    def _criu_cache(self) -> str | None:
        """The snapshot's directory with CRIU's cache of this kernel: it saves 6 to 30 ms of probing."""
        cache = self.manifest.body.get("criu_cache")
        kernel = posix.uname()
        if cache and cache["kernel"] == f"{kernel.release} {kernel.version}":
            return str(cache["directory"])
        return None

    def _make_cache(self) -> str | None:
        """CRIU's own copy of it."""
        cache = self._criu_cache()
        if cache is None:
            return None
        directory = f"{self.work}/{cache}"
        posix.mkdir(directory, 0o700)
        for name, data in self.opened.below(cache).items():
            write_file(f"{directory}/{name}", data)
        return directory

    def _release(self, timings: dict[str, object]) -> None:
        context: dict[str, object] = {
            "version": 1,
            "environ": [f"{key}={value}" for key, value in self.environ.items()],
            "engine": "criu",
            "mode": self.mode,
            "reason": self.declined,
            "telemetry": names.ENV_TELEMETRY in self.environ,
            "report": "woke",
            "started_s": self.started_s,
            "snapshot": self.manifest.id,
            "cold_init_s": self.manifest.cold_init_s,
            "bound": sorted(self.placement.bound),
            "processors": sorted(self.placement.all),
            "timings": timings,
        }
        data = memoryview(plainjson.dumps(context).encode())
        posix.set_blocking(self._thaw_w, False)  # a process that does not read must not stop the watchdog
        poll = select.poll()
        poll.register(self._thaw_w, select.POLLOUT)
        try:
            while data:
                if not poll.poll(watchdog.TICK_S * 1000):
                    self.watchdog.look({"reader of the wake context"})
                    continue
                data = data[posix.write(self._thaw_w, data) :]
        except BrokenPipeError:
            raise Declined(f"the process ended {self._end_of_child()} before it woke") from None
        posix.close(self._thaw_w)
        self._thaw_w = -1

    def _end_of_child(self) -> str:
        """How the process ended, in words; it may also only have closed its descriptors."""
        try:
            # Its pipe is closed a moment before it can be waited for.
            for _ in range(20):
                pid, status = posix.waitpid(self.manifest.pid, posix.WNOHANG)
                if pid:
                    break
                select.poll().poll(5)
        except ChildProcessError:
            return "unseen"
        return f"with {_ending(posix.waitstatus_to_exitcode(status))}" if pid else "or closed its pipe"

    # --- leaving nothing behind ----------------------------------------------------

    def _give_up(self) -> None:
        """Kills CRIU with its helpers, then the process; the group outlives a CRIU that others killed."""
        if self._criu_pid:
            try:  # noqa: SIM105 - contextlib is an import that the restore path does not have
                posix.killpg(self._criu_pid, _signal.SIGKILL)
            except ProcessLookupError:
                pass
            while not self._criu_done and _readable(self._events_r, 1000):
                posix.read(self._events_r, 65536)
            self._kill_child()
        self._clean()

    def _kill_child(self) -> None:
        """Kills the restored process, if it is one: a pid that is not our child is somebody else's."""
        pid = self.manifest.pid
        try:
            if posix.waitpid(pid, posix.WNOHANG) == (0, 0):
                posix.kill(pid, _signal.SIGKILL)
                posix.waitpid(pid, 0)
        except ChildProcessError:
            pass

    @property
    def tried(self) -> bool:
        """Whether CRIU was started."""
        return self._criu_pid != 0

    def finish(self) -> None:
        """Removes the work directory; call when the process is awake and the log line written.

        Its pages take room until the feed is closed.
        """
        self._clean()

    def _clean(self) -> None:
        """Removes the work directory.

        The feed's descriptors stay open after a failure: its thread may still be writing, and
        must not meet another file under the same number.  The exec that follows closes them.
        """
        for fd in (self._thaw_r, self._thaw_w, self._woke_r, self._woke_w):
            if fd >= 0:
                posix.close(fd)
        self._thaw_r = self._thaw_w = self._woke_r = self._woke_w = -1
        _signal.signal(_signal.SIGIO, _signal.SIG_DFL)
        if self._made is not None:
            self._made.remove()


def supervise(pid: int, attempt: Restoration, give_back: Callable[[], None]) -> int:
    """Is the parent that Lambda sees: passes signals on, ends as the process ended.

    Args:
        pid: the woken process.
        attempt: that brought it back; it knows of a signal that came before.
        give_back: frees what the thaw needed; called when the first answer is likely to be out.

    Returns:
        Its exit code; a signal's number negative.
    """
    for number in program.ENDING:
        _signal.signal(number, lambda received, _frame: posix.kill(pid, received))
    if attempt.ended_by:
        posix.kill(pid, attempt.ended_by)
    # Freeing 120 MB of pages takes a processor for 7 ms, and memory's locks with it.
    _signal.pthread_sigmask(_signal.SIG_BLOCK, {_signal.SIGCHLD})
    ended, status = posix.waitpid(pid, posix.WNOHANG)
    if not ended:
        _signal.sigtimedwait({_signal.SIGCHLD}, _FIRST_ANSWER_S)
    give_back()
    if not ended:
        _, status = posix.waitpid(pid, 0)
    return posix.waitstatus_to_exitcode(status)


def _telemetry(environ: Mapping[str, str]) -> int:
    """The runtime's telemetry descriptor, or the null device in its place."""
    number = environ.get(names.ENV_TELEMETRY)
    if number is not None and number.isdecimal():
        return int(number)
    return posix.open("/dev/null", posix.O_WRONLY | posix.O_CLOEXEC)


def _readable(fd: int, timeout_ms: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(timeout_ms))


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _last_error(path: str) -> str:
    """The last error of CRIU's log, without CRIU's prefix; empty where there is none."""
    try:
        with open(path, "rb") as file:
            lines = [
                line for line in file.read().decode("utf-8", "replace").splitlines() if "Error (" in line
            ]
    except OSError:
        return ""
    # The first error is the cause; later ones only say that everything failed.
    causes = [line for line in lines if "RLIMIT_NOFILE" not in line]
    return causes[0].partition("Error ")[2].strip() if causes else ""
