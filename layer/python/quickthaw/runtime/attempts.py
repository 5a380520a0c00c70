"""Thaws of a snapshot that did not end in a wake are counted in this environment, and not repeated for ever.

Lambda starts a runtime that crashed again in the same environment, with the
same /tmp.  A thaw that kills its own process (out of memory, a kernel that
differs) would be tried again and again, and no request answered.  So each
attempt makes an empty file in /tmp, numbered, which a wake removes; where
`MOST` lie that nobody holds, the start is cold at once.

A /tmp may be shared by many starts and may outlive the machine: an attempt that
is under way holds a lock on its file (`lockfile`) and is no failure, and a file
older than `OLD_S` says nothing any more and is removed.  The time of the boot
is not compared: it seems to move when a virtual machine is paused, as Lambda
does between the crash and the next start.  Whoever begins takes the lowest free
number and looks at those below it, so that one that follows another's wake may
overlook a failure; when it fails itself, the next one sees both.

Files without contents, because they need no room on a full /tmp.  Where none can
be made nothing is counted.  The native restorer does the same in C
(layer/native/attempts.c) under names of its own: that one engine fails says
nothing about the other.
"""

from __future__ import annotations

import posix
import time

from quickthaw.errors import Declined
from quickthaw.runtime import lockfile

MOST = 2  # in a row; a first failure may be an accident (a kill, a full disk), a second one is a habit
MOST_FILES = 64  # are looked at; so many may be under way at once
OLD_S = 3600  # before or after now: clocks are set


class Attempt:
    """An attempt of the criu engine, from now on counted, until `woke` or `withdraw`.

    Attributes:
        before: how many attempts before this one came to nothing.
    """

    def __init__(self, identity: str) -> None:
        """Begins one.

        Args:
            identity: of the snapshot.

        Raises:
            Declined: there were enough.
        """
        self._held = -1
        self._own = ""
        self._failed: list[str] = []
        for number in range(1, MOST_FILES + 1):
            path = f"/tmp/.quickthaw-criu-{identity}-{number}"
            try:
                self._held = lockfile.make(path)
                self._own = path
                break
            except FileExistsError:
                if _has_failed(path):
                    self._failed.append(path)
            except OSError:
                break  # no room, or no /tmp: then nothing can be counted
            if len(self._failed) == MOST:
                raise Declined(f"the thaw failed {MOST} times in this environment and is not tried again")
        self.before = len(self._failed)

    def woke(self) -> None:
        """It succeeded: those before it are forgotten, too."""
        for path in self._failed:
            _unlink(path)
        self.withdraw()

    def withdraw(self) -> None:
        """Nothing was tried, for a reason that has a name: no failure of a thaw."""
        if self._held >= 0:
            _unlink(self._own)
            posix.close(self._held)
            self._held = -1


def _has_failed(path: str) -> bool:
    found = lockfile.left(path)
    if found is None:
        return False
    fd, status = found
    old = abs(time.time() - status.st_mtime) > OLD_S
    if old and lockfile.take(fd):
        _unlink(path)
    posix.close(fd)
    return not old


def _unlink(path: str) -> None:
    try:  # noqa: SIM105 - contextlib is an import that the restore path does not have
        posix.unlink(path)
    except OSError:
        pass
