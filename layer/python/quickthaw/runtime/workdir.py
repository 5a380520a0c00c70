"""The directory in /tmp that a thaw by CRIU works in: made, removed, and swept after a kill.

Pages of a whole process may lie in it, and on Lambda /tmp outlives the runtime
process, so what a killed bootstrap left is removed by the next one.  Whether a
directory is in use tells a locked file in it (`lockfile`).  Only a directory of
our own user is entered: another's, or a link, may lead anywhere.

So is what the killed one had started: CRIU goes on without us, and in mode `grow`
the process that it restores waits for ever, spinning, for pages that nobody
delivers.  Nothing but a kill reaches those, and they are known by the directory.
"""

from __future__ import annotations

import _signal
import posix
import time

from quickthaw.runtime import lockfile

_TMP = "/tmp"
_NAME = "quickthaw-"
PREFIX = f"{_TMP}/{_NAME}"
_LOCK = "lock"
_TRIES = 10  # of a sweep: what it has killed may be in the middle of a system call
_PAUSE_S = 0.005
_MAKING_S = 0.02  # from a directory to its lock; who takes longer may lose it, and starts cold


class WorkDirectory:
    """A new directory, ours until `remove` or our end."""

    def __init__(self, path: str, *, lock: int | None = None) -> None:
        """Makes it.

        Args:
            path: begins with `PREFIX`.
            lock: descriptor that holds its lock, where it is there already.

        Raises:
            OSError: /tmp cannot be written, or there is no descriptor left.
        """
        self.path = path
        if lock is not None:
            self._lock = lock
            return
        posix.mkdir(path, 0o700)
        try:
            self._lock = lockfile.make(f"{path}/{_LOCK}")
        except OSError:
            _remove(path)
            raise

    def remove(self) -> None:
        """Removes it with all that is in it; what cannot be removed stays, the start goes on."""
        _remove(self.path)
        posix.close(self._lock)


def sweep(*, but: str | None = None) -> None:
    """Removes the directories of bootstraps that are no more, and ends what still works in them.

    Args:
        but: our own, if there is one: to the process that holds a lock, it looks as if nobody did.
    """
    try:
        found = [name for name in posix.listdir(_TMP) if name.startswith(_NAME)]
    except OSError:
        return
    for name in found:
        path = f"{_TMP}/{name}"
        if path == but:
            continue
        made = _made(path)
        if made is None:
            continue  # not one of these, or somebody else's
        found_lock = lockfile.left(f"{path}/{_LOCK}")
        if found_lock is None:
            if abs(time.time() - made) > _MAKING_S:
                _remove_empty(path)
            continue  # in use
        fd, _ = found_lock
        if lockfile.take(fd):
            for _ in range(_TRIES):
                _end_all_in(path)
                if _remove(path):
                    break
                time.sleep(_PAUSE_S)
        posix.close(fd)


def _made(path: str) -> float | None:
    """When a directory of our own user got its newest file, seconds since 1970; None for anything else."""
    try:
        status = posix.lstat(path)
    except OSError:
        return None
    ours = status.st_mode & 0o170000 == 0o040000 and status.st_uid == posix.geteuid()
    return status.st_mtime if ours else None


def _remove_empty(path: str) -> None:
    """Of a maker that was killed before it had a lock; with the lock in it, it is not empty."""
    try:  # noqa: SIM105 - contextlib is an import that the restore path does not have
        posix.rmdir(path)
    except OSError:
        pass


def _end_all_in(path: str) -> None:
    for name in posix.listdir("/proc"):
        if name.isdecimal() and int(name) != posix.getpid() and _works_in(name, path):
            try:  # noqa: SIM105 - contextlib is an import that the restore path does not have
                posix.kill(int(name), _signal.SIGKILL)
            except OSError:
                pass  # it has ended


def _works_in(pid: str, path: str) -> bool:
    """By its command line (CRIU), or by a file that it has open (what CRIU restores)."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            if path.encode() in file.read():
                return True
        for fd in posix.listdir(f"/proc/{pid}/fd"):
            if posix.readlink(f"/proc/{pid}/fd/{fd}").startswith(f"{path}/"):
                return True
    except OSError:
        pass  # somebody else's, or gone
    return False


def _remove(path: str) -> bool:
    """The lock goes last, when all else is gone: what cannot be removed now is for the next sweep."""
    try:
        for name in sorted(posix.listdir(path), key=lambda name: name == _LOCK):
            inner = f"{path}/{name}"
            if name == _LOCK and len(posix.listdir(path)) > 1:
                return False  # one that is about to end has made another file
            try:
                posix.unlink(inner)
            except IsADirectoryError:
                if not _remove(inner):
                    return False
        posix.rmdir(path)
    except OSError:
        return False
    return True
