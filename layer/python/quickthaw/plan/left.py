"""What an import left in /tmp: collected at the freeze, there again after a thaw.

Lambda gives every environment an empty /tmp, so a library that unpacked
something there on import (a JIT's cache, a model, a certificate bundle) would
miss it.  Sockets and devices do not travel.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from quickthaw.errors import CannotFreeze
from quickthaw.plan import layout

BUDGET: Final = 16 << 20  # bytes; more belongs into the function's package, where it is mapped and not copied


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One directory, file, symbolic link or FIFO, by the path that the process sees."""

    kind: int
    path: str
    mode: int
    mtime_ns: int
    data: bytes = b""


def collect(
    root: Path, *, inner: str = "/tmp", ignore: Collection[str] = (), budget: int = BUDGET
) -> tuple[Entry, ...]:
    """Everything below a directory, parents before children.

    Args:
        root: the directory on this machine, for instance ``/proc/PID/root/tmp``.
        inner: what the process calls it.
        ignore: names directly below it that are not the function's.
        budget: bytes that all files together may have.

    Raises:
        CannotFreeze: there is more than the budget allows; the largest file is named.
        OSError: something cannot be read.
    """
    found: list[Entry] = []
    known: dict[int, str] = {}  # files with several names: the first one by inode
    total = 0
    for directory, directories, files in os.walk(root):
        place = Path(directory)
        if place == root:
            directories[:] = [name for name in directories if name not in ignore]
            files = [name for name in files if name not in ignore]
        directories.sort()
        for name in sorted([*directories, *files]):
            entry = _entry(place / name, f"{inner}/{(place / name).relative_to(root)}", known)
            if entry is None:
                continue
            total += len(entry.data)
            if total > budget:
                raise CannotFreeze(
                    f"the import left more than {budget >> 20} MiB in {inner}, the last in {entry.path}",
                    hint="put them into the function's package, or remove them in a before-snapshot hook",
                )
            found.append(entry)
    return tuple(found)


def resolver(
    resolve: Callable[[str], Path], entries: Sequence[Entry], paths: Iterable[str], scratch: Path
) -> Callable[[str], Path]:
    """`resolve`, but for mapped files that are on no machine: they are written to a directory.

    Args:
        resolve: turns a path of the frozen process into one of this machine.
        entries: what lay in /tmp.
        paths: files that the process maps.
        scratch: an empty directory, to be kept as long as the result is used.
    """
    files = {entry.path: entry for entry in entries if entry.kind == layout.ENTRY_FILE}
    places: dict[str, Path] = {}
    for path in files.keys() & set(paths):
        entry = files[path]
        places[path] = scratch / str(len(places))
        places[path].write_bytes(entry.data)
        os.utime(places[path], ns=(entry.mtime_ns, entry.mtime_ns))
    return lambda path: places.get(path) or resolve(path)


def _entry(path: Path, inner: str, known: dict[int, str]) -> Entry | None:
    status = path.lstat()
    mode, mtime_ns = stat.S_IMODE(status.st_mode), status.st_mtime_ns
    if stat.S_ISLNK(status.st_mode):
        target = os.fsencode(os.readlink(path)) + b"\0"
        return Entry(kind=layout.ENTRY_LINK, path=inner, mode=mode, mtime_ns=mtime_ns, data=target)
    if stat.S_ISDIR(status.st_mode):
        return Entry(kind=layout.ENTRY_DIRECTORY, path=inner, mode=mode, mtime_ns=mtime_ns)
    if stat.S_ISFIFO(status.st_mode):
        return Entry(kind=layout.ENTRY_FIFO, path=inner, mode=mode, mtime_ns=mtime_ns)
    if stat.S_ISREG(status.st_mode):
        first = known.setdefault(status.st_ino, inner) if status.st_nlink > 1 else inner
        if first != inner:
            data = os.fsencode(first) + b"\0"
            return Entry(kind=layout.ENTRY_SAME, path=inner, mode=mode, mtime_ns=mtime_ns, data=data)
        return Entry(kind=layout.ENTRY_FILE, path=inner, mode=mode, mtime_ns=mtime_ns, data=path.read_bytes())
    return None
