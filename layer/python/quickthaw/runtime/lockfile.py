"""Files that are locked for as long as the process lives that made them: what a killed one left can be told.

The kernel gives a lock back with its process; a pid in a name would not tell,
because environments that share a /tmp may have equal pids.  Between its
making and its lock a file has the mode `_UNLOCKED`, so that nobody takes a new
one for one that was left.

Others may write to a shared /tmp: no link is followed, nothing waits for the
other end of a FIFO, and what is not a plain file of our own user is not there.
Locks are record locks of fcntl(2), which belong to the process: who closes a
file that it has locked itself, under whatever descriptor, gives the lock back.
"""

from __future__ import annotations

import posix

_UNLOCKED = 0o700
_LOCKED = 0o600
_KIND = 0o170000
_PLAIN = 0o100000


def make(path: str) -> int:
    """Makes a file without contents and locks it.

    Returns:
        The descriptor that holds the lock; an exec closes it.

    Raises:
        FileExistsError: there is something of that name.
        OSError: it cannot be made, or not be locked; then there is none.
    """
    flags = posix.O_CREAT | posix.O_EXCL | posix.O_RDWR | posix.O_CLOEXEC
    fd = posix.open(path, flags, _UNLOCKED)
    try:
        posix.lockf(fd, posix.F_TLOCK, 0)
        posix.fchmod(fd, _LOCKED)
    except OSError:
        posix.unlink(path)
        posix.close(fd)
        raise
    return fd


def left(path: str) -> tuple[int, posix.stat_result] | None:
    """Opens a file whose maker is no more.

    Returns:
        A descriptor, for the caller to close, and what fstat(2) says; None where there is no such
        file: it is held, is being made or removed, or is nothing of ours.
    """
    try:
        fd = posix.open(path, posix.O_RDWR | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC)
    except OSError:
        return None
    try:
        # Before the lock is looked at, because the mode changes when it is there, and after, because
        # who ends well removes the file and then gives the lock back.
        before = posix.fstat(fd)
        if _is_ours(before) and before.st_mode & 0o777 == _LOCKED:
            posix.lockf(fd, posix.F_TEST, 0)
            status = posix.fstat(fd)
            if _is_ours(status):
                return fd, status
    except OSError:
        pass  # held
    posix.close(fd)
    return None


def take(fd: int) -> bool:
    """Locks what `left` has opened; False where another was faster, or has removed it."""
    try:
        posix.lockf(fd, posix.F_TLOCK, 0)
    except OSError:
        return False
    return _is_ours(posix.fstat(fd))


def _is_ours(status: posix.stat_result) -> bool:
    return status.st_mode & _KIND == _PLAIN and status.st_uid == posix.geteuid() and status.st_nlink == 1
