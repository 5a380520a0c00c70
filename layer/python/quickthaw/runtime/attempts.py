"""Thaws of a snapshot that did not end in a wake are counted in this environment, and not repeated for ever.

Lambda starts a runtime that crashed again in the same environment, with the
same /tmp.  A thaw that kills its own process (out of memory, a kernel that
differs) would be tried again and again, and no request answered.  So each
attempt leaves an empty file in /tmp, numbered, which a wake removes; where
`MOST` of them lie, the start is cold at once.

Files without contents, because they need no room on a full /tmp; made with
O_EXCL and never opened, so that a FIFO or a link of the same name is a count
and nothing else.  Where none can be made nothing is counted.  The native
restorer does the same in C (layer/native/attempts.c) under names of its own:
that one engine fails says nothing about the other.
"""

from __future__ import annotations

import posix

from quickthaw.errors import Declined

MOST = 2  # in a row; a first failure may be an accident (a kill, a full disk), a second one is a habit


def begin(identity: str) -> int:
    """Counts an attempt of the criu engine.

    Args:
        identity: of the snapshot.

    Returns:
        How many attempts before this one came to nothing.

    Raises:
        Declined: enough.
    """
    for before in range(MOST):
        try:
            flags = posix.O_CREAT | posix.O_EXCL | posix.O_WRONLY | posix.O_CLOEXEC
            posix.close(posix.open(_path(identity, before + 1), flags, 0o600))
        except FileExistsError:
            continue
        except OSError:
            pass  # no room, or no /tmp: then nothing can be counted
        return before
    raise Declined(f"the thaw failed {MOST} times in this environment and is not tried again")


def woke(identity: str) -> None:
    """Forgets the attempts: the last one succeeded."""
    for number in range(1, MOST + 1):
        try:  # noqa: SIM105 - contextlib is an import that the restore path does not have
            posix.unlink(_path(identity, number))
        except OSError:
            pass


def _path(identity: str, number: int) -> str:
    return f"/tmp/.quickthaw-criu-{identity}-{number}"
