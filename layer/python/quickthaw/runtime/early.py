"""A CRIU that was started before this interpreter was: fed at once, taken over when it suits, else ended.

``layer/criu/start.c`` starts it for mode `grow` and then becomes the bootstrap;
QUICKTHAW_STARTED says what it left.  By the time that a first line of Python
runs, CRIU is about to read pages, so decoding them begins before anything else
is imported.

Nobody has checked anything by then.  So nothing of it counts before the
snapshot is checked, and only where it is what the bootstrap would have done
itself: the copies that CRIU reads must be the bytes that were checked, the page
file the one that was opened, and what CRIU maps must have been there, as it is
now, before CRIU began.  In any other case it is ended with what it has
restored, and everything goes on as if it had never been.
"""

from __future__ import annotations

import _signal
import _thread
import posix
import sys
import time

from quickthaw import names
from quickthaw.errors import Declined
from quickthaw.runtime import placement, program, workdir

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from quickthaw.runtime.checks import Stamps
    from quickthaw.runtime.opened import Opened

_FIELDS = 8
_SWITCH_S = 1e-4  # between threads; with the default, 5 ms, the feed would wait for whole imports
_TICK_S = 0.01  # a file's time of change lags by a tick of the kernel's, 10 ms at most (CONFIG_HZ=100)


def begin(environ: Mapping[bytes, bytes]) -> Early | None:
    """Feeds the CRIU that was started; None: there is none that could be used.

    Args:
        environ: `posix.environ`.
    """
    said = environ[names.ENV_STARTED.encode()].decode("utf-8", "surrogateescape")
    snapshot = environ.get(names.ENV_SNAPSHOT.encode(), b"").decode("utf-8", "surrogateescape")
    try:
        found = Early(said)
    except (ValueError, OverflowError, OSError):
        return None  # a variable of somebody else's
    try:
        found.guard()
        found.open(snapshot or names.SNAPSHOT_PATH)
        sys.setswitchinterval(_SWITCH_S)
        found.start()
    except Exception:
        found.end()  # whoever reads the snapshot says what is missing
        return None
    return found


class Early:
    """CRIU, its work directory, our ends of its pipes, and the thread that decodes its pages.

    Attributes:
        pid: of CRIU.
        lock: descriptor of the work directory's lock.
        thaw_w: writing end of the thaw pipe.
        woke_r: reading end of the woke pipe.
        bound: processors that it was given.
        spawned_s: CLOCK_MONOTONIC when it was started.
        work: the work directory.
        target: descriptor of the file that CRIU reads.
        delivered, bytes_read, decompress_s: of the thread, as of `feed.Feed`.
    """

    def __init__(self, said: str) -> None:
        """Reads what was left.

        Args:
            said: the variable.

        Raises:
            ValueError, OverflowError, OSError: it is none of ours.
        """
        fields = said.split(" ", _FIELDS - 1)
        if len(fields) != _FIELDS or not all(map(str.isdecimal, fields[:-1])):
            raise ValueError(said)
        self.pid, self.lock, self.thaw_w, self.woke_r, began_ns, mask, root = map(int, fields[:-1])
        self.spawned_s = began_ns / 1e9
        self.work = fields[-1]
        if not self.work.startswith(workdir.PREFIX):
            raise ValueError(said)
        posix.waitid(posix.P_PID, self.pid, posix.WEXITED | posix.WNOHANG | posix.WNOWAIT)  # it is our child
        self.bound = posix.sched_getaffinity(self.pid)
        for fd in (self.lock, self.thaw_w, self.woke_r):
            posix.set_inheritable(fd, False)
        self.target = -1
        self.delivered = 0
        self.bytes_read = 0
        self.decompress_s = 0.0
        self._mask = mask
        self._root = root
        self._path = self._name = ""
        self._source = -1
        self._identity: tuple[int, ...] = ()
        self._failed: BaseException | None = None
        self._ended = False
        self._working = _thread.allocate_lock()

    def guard(self) -> None:
        """From here on a signal that ends a runtime ends CRIU as well; so far they were held back."""
        for number in program.ENDING:
            if _signal.getsignal(number) is not _signal.SIG_IGN:
                _signal.signal(number, self._told_to_end)
        blocked = [number for number in range(1, _signal.NSIG) if self._mask >> (number - 1) & 1]
        _signal.pthread_sigmask(_signal.SIG_SETMASK, blocked)

    def open(self, snapshot: str) -> None:
        """Opens the page file, and the one that CRIU reads; before the thread.

        Args:
            snapshot: its directory.

        Raises:
            OSError: there is none.
        """
        images = f"{self.work}/{names.IMAGES}"
        for name in posix.listdir(images):
            if name.startswith("pages-"):
                self.target = posix.open(f"{images}/{name}", posix.O_RDWR | posix.O_CLOEXEC)
                self._name = name.replace(".img", ".comp.img")
        self._path = f"{snapshot}/{names.IMAGES}/{self._name}"
        self._source = posix.open(self._path, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)
        self._identity = posix.fstat(self._source)[1:3]

    def start(self) -> None:
        """Starts the thread.

        Raises:
            RuntimeError: there can be none.
        """
        self._working.acquire()
        try:
            _thread.start_new_thread(self._feed, ())
        except RuntimeError:
            self._working.release()
            raise

    def _feed(self) -> None:
        try:
            from quickthaw.runtime import decode, pour, room

            placement.leave_to_criu(self.bound)
            begin = time.monotonic()
            decoder = decode.FrameDecoder(names.LIBLZ4_PATH, self._path, self._source)
            room.take(self.target, decoder.index.content_size)
            self.bytes_read = pour.pour(decoder, self.target, self._on_block)
            self.decompress_s = time.monotonic() - begin
        except BaseException as error:
            self._failed = error
        finally:
            posix.close(self._source)
            self._working.release()

    def _on_block(self, size: int) -> None:
        self.delivered += size
        if self._ended:
            raise Declined("what was begun is not wanted")

    def finish(self) -> None:
        """Waits for the thread; raises what it has raised."""
        with self._working:
            if self._failed is not None:
                raise self._failed

    def fits(self, opened: Opened, cache: str | None, seen: Stamps) -> bool:
        """Whether CRIU reads what was checked, the thread, too, and what CRIU maps is what was compared.

        Args:
            opened: the snapshot, checked.
            cache: the snapshot's directory with the kernel cache that CRIU is to have, if any.
            seen: the files that the function maps, as they were compared after CRIU began.
        """
        wanted = {
            f"{names.IMAGES}/{name}": data
            for name, data in opened.below(names.IMAGES).items()
            if name.endswith(".img") or name == names.START
        }
        if f"{names.IMAGES}/{names.START}" not in wanted:
            return False
        if cache is not None:
            wanted.update({f"{cache}/{name}": data for name, data in opened.below(cache).items()})
        try:
            return (
                all(_read(f"{self.work}/{name}") == data for name, data in wanted.items())
                and (cache is not None or "cache" not in posix.listdir(self.work))
                and posix.fstat(opened.pages(self._name))[1:3] == self._identity
                and not self._changed_since(seen)
            )
        except (OSError, Declined):
            return False

    def _changed_since(self, seen: Stamps) -> bool:
        """Whether a path may have led elsewhere when CRIU began, by the times of files and directories."""
        began_ns = (time.time() - time.monotonic() + self.spawned_s - _TICK_S) * 1e9
        above: set[str] = set()
        for path, stamp in seen.items():
            if not stamp or stamp[-1] >= began_ns:
                return True
            directory = path.rpartition("/")[0]
            while directory not in above:
                above.add(directory)
                directory = directory.rpartition("/")[0]
        return any(posix.stat(directory or "/").st_ctime_ns >= began_ns for directory in above)

    def _told_to_end(self, number: int, _frame: object) -> None:
        """A signal to the bootstrap before it has taken over: no thaw any more, and no cold start."""
        self.end()
        _signal.signal(number, _signal.SIG_DFL)
        posix.kill(posix.getpid(), number)
        posix._exit(128 + number)  # as pid 1, whom the signal does not end

    def end(self) -> None:
        """Kills CRIU with its helpers and what it has restored, and removes the work directory."""
        if self._ended:
            return
        mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, program.ENDING)  # none of it twice, or by half
        self._ended = True
        try:  # noqa: SIM105 - contextlib is an import that the restore path does not have
            posix.killpg(self.pid, _signal.SIGKILL)
        except OSError:
            pass  # it has ended
        for pid in (self.pid, self._root):
            try:
                if posix.waitpid(pid, posix.WNOHANG) == (0, 0):
                    posix.kill(pid, _signal.SIGKILL)
                    posix.waitpid(pid, 0)
            except OSError:
                pass  # none of our children
        with self._working:  # ends at its next block
            for fd in (self.target, self.thaw_w, self.woke_r):
                if fd >= 0:
                    posix.close(fd)
        workdir.WorkDirectory(self.work, lock=self.lock).remove()
        _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
