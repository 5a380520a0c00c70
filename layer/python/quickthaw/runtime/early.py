"""A CRIU that was started before this interpreter was: fed at once, taken over when it suits, else ended.

``layer/criu/start.c`` starts it for mode `grow` and then becomes the bootstrap;
QUICKTHAW_STARTED says what it left.  By the time that a first line of Python
runs, CRIU is about to read pages, so decoding them begins before anything else
is imported.

Nobody has checked anything by then.  So nothing of it counts before the
snapshot is checked, and only where it is what the bootstrap would have done
itself: the copies that CRIU reads must be the bytes that were checked, the page
file the one that was opened.  In any other case it is ended with all that it
has restored, and everything goes on as if it had never been.
"""

from __future__ import annotations

import _signal
import _thread
import posix
import sys
import time

from quickthaw import names
from quickthaw.errors import Declined
from quickthaw.runtime import decode, placement, pour, program, room, workdir

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from quickthaw.runtime.opened import Opened

_FIELDS = 7
_SWITCH_S = 1e-4  # between threads; with the default, 5 ms, the feed would wait for whole imports


def begin(environ: Mapping[bytes, bytes]) -> Early | None:
    """Feeds the CRIU that was started; None: it is none of ours.

    Args:
        environ: `posix.environ`.
    """
    said = environ[names.ENV_STARTED.encode()].decode("utf-8", "surrogateescape")
    snapshot = environ.get(names.ENV_SNAPSHOT.encode(), b"").decode("utf-8", "surrogateescape")
    try:
        found = Early(said)
    except (ValueError, OSError):
        return None
    found.guard()
    try:
        found.open(snapshot or names.SNAPSHOT_PATH)
    except OSError:
        found.end()  # whoever reads the manifest says what is missing
        return None
    sys.setswitchinterval(_SWITCH_S)
    _thread.start_new_thread(found.feed, ())
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
        delivered, bytes_read, decompress_s: of the thread, as of `feed.Feed`.
    """

    def __init__(self, said: str) -> None:
        """Reads what was left.

        Args:
            said: the variable.

        Raises:
            ValueError, OSError: it is none of ours.
        """
        fields = said.split(" ", _FIELDS - 1)
        if len(fields) != _FIELDS or not all(map(str.isdecimal, fields[:-1])):
            raise ValueError(said)
        self.pid, self.lock, self.thaw_w, self.woke_r, began_ns, self._mask = map(int, fields[:-1])
        self.spawned_s = began_ns / 1e9
        self.work = fields[-1]
        if not self.work.startswith(workdir.PREFIX):
            raise ValueError(said)
        posix.waitid(posix.P_PID, self.pid, posix.WEXITED | posix.WNOHANG | posix.WNOWAIT)  # it is our child
        self.bound = posix.sched_getaffinity(self.pid)
        for fd in (self.lock, self.thaw_w, self.woke_r):
            posix.set_inheritable(fd, False)
        self.delivered = 0
        self.bytes_read = 0
        self.decompress_s = 0.0
        self._ended = False
        self._path = self._name = ""
        self._source = self._target = -1
        self._failed: BaseException | None = None
        self._done = _thread.allocate_lock()
        self._done.acquire()

    def guard(self) -> None:
        """From here on a signal that ends a runtime ends CRIU as well; so far they were held back."""
        for number in program.ENDING:
            if _signal.getsignal(number) is not _signal.SIG_IGN:
                _signal.signal(number, self.told_to_end)
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
                self._target = posix.open(f"{images}/{name}", posix.O_RDWR | posix.O_CLOEXEC)
                self._name = name.replace(".img", ".comp.img")
        self._path = f"{snapshot}/{names.IMAGES}/{self._name}"
        self._source = posix.open(self._path, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)

    def feed(self) -> None:
        """The thread."""
        try:
            placement.leave_to_criu(self.bound)
            begin = time.monotonic()
            decoder = decode.FrameDecoder(names.LIBLZ4_PATH, self._path, self._source)
            room.take(self._target, decoder.index.content_size)
            self.bytes_read = pour.pour(decoder, self._target, self._on_block)
            self.decompress_s = time.monotonic() - begin
        except BaseException as error:
            self._failed = error
        finally:
            self._done.release()

    def _on_block(self, size: int) -> None:
        self.delivered += size
        if self._ended:
            raise Declined("what was begun is not wanted")

    def finish(self) -> None:
        """Waits for the thread; raises what it has raised."""
        self._done.acquire()
        self._done.release()
        if self._failed is not None:
            raise self._failed

    def fits(self, opened: Opened, cache: str | None) -> bool:
        """Whether CRIU reads what was checked, and the thread, too.

        Args:
            opened: the snapshot, checked.
            cache: the snapshot's directory with the kernel cache that CRIU is to have, if any.
        """
        wanted = {
            f"{names.IMAGES}/{name}": data
            for name, data in opened.below(names.IMAGES).items()
            if name.endswith(".img") or name == names.START
        }
        if cache is not None:
            wanted.update({f"{cache}/{name}": data for name, data in opened.below(cache).items()})
        try:
            return (
                all(_read(f"{self.work}/{name}") == data for name, data in wanted.items())
                and (cache is not None or "cache" not in posix.listdir(self.work))
                and posix.fstat(self._source)[1:3] == posix.fstat(opened.pages(self._name))[1:3]
            )
        except (OSError, Declined):
            return False

    def told_to_end(self, number: int, _frame: object) -> None:
        """A signal to the bootstrap before it has taken over: no thaw any more, and no cold start."""
        self.end()
        _signal.signal(number, _signal.SIG_DFL)
        posix.kill(posix.getpid(), number)

    def end(self) -> None:
        """Kills CRIU with its helpers and what it has restored, and removes the work directory.

        The thread ends by itself, at its next block.
        """
        if self._ended:
            return
        self._ended = True
        try:  # noqa: SIM105 - contextlib is an import that the restore path does not have
            posix.killpg(self.pid, _signal.SIGKILL)
        except ProcessLookupError:
            pass
        while children := _children():
            for child in children:
                posix.kill(int(child), _signal.SIGKILL)
            posix.waitpid(-1, 0)
        posix.close(self.thaw_w)
        posix.close(self.woke_r)
        workdir.WorkDirectory(self.work, lock=self.lock).remove()


def _children() -> list[str]:
    """Pids of our children; the process that CRIU restores is one, too."""
    own = str(posix.getpid()).encode()
    found = []
    for name in filter(str.isdecimal, posix.listdir("/proc")):
        try:
            parent = _read(f"/proc/{name}/stat").rpartition(b")")[2].split()[1]  # field 4 of proc(5)
        except OSError:
            continue  # it has ended
        if parent == own:
            found.append(name)
    return found


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
