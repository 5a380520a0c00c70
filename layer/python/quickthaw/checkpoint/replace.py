"""A directory appears whole or not at all.

The new one is made beside its target, on the same file system, and exchanged
with the old one in one rename (renameat2, RENAME_EXCHANGE); only then is the
old one deleted.  A process killed at any moment leaves the old directory, or
none, and beside it at most a hidden directory that the next run removes.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quickthaw.errors import UsageError

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # linux/fs.h


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A fresh directory that takes `target`'s place when the block ends without an error.

    Args:
        target: may exist, as a directory.

    Raises:
        UsageError: the target is a file, or another run is at work on it.
        OSError: the directory cannot be made, or the file system cannot exchange.
    """
    target = target.absolute()
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target} is a file", hint="Name a directory that may be replaced.")
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.parent / f".{target.name}.new"
    with _locked(target.parent / f".{target.name}.lock", target):
        shutil.rmtree(fresh, ignore_errors=True)  # of a run that was killed
        fresh.mkdir(mode=0o700)
        try:
            yield fresh
            _open(fresh)
            if target.exists():
                _exchange(fresh, target)
            else:
                fresh.rename(target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def _open(directory: Path) -> None:
    """Lambda's user reads it, whatever this process's umask made of its files; nobody else writes."""
    for path in directory.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
    directory.chmod(0o755)


@contextmanager
def _locked(path: Path, target: Path) -> Iterator[None]:
    """Holds a lock file and removes it at the end.

    Whoever waited for it may get the lock of a file that is gone by then, and asks again.
    """
    while True:
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UsageError(f"another process is writing {target}", hint="Wait for it.") from error
            try:
                if os.fstat(lock.fileno()).st_ino != path.stat().st_ino:
                    continue
            except FileNotFoundError:
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def _exchange(one: Path, other: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot exchange directories: {os.strerror(number)}", str(other))
