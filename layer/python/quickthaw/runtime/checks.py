"""May this snapshot be thawed here?  Everything cheap is checked before anything is started.

What is checked when:
- here, before CRIU runs: the manifest's checksum, format, architecture,
  interpreter, CPU features; the size of every file of the snapshot and the
  checksum of the small ones (images, kernel cache), see `opened`; the identity of every mapped
  file and of the function's own sources;
  where CRIU was started before Python (`early`), it was not changed since;
- when CRIU has ended, before the process may wake: whether these files stayed (`restore`);
- while pages are decoded: each block's checksum (`decode`), the checksum of
  uncompressed pages (`feed`); both before the process may wake.
"""

from __future__ import annotations

import posix
import sys

from quickthaw import __version__
from quickthaw.errors import Declined
from quickthaw.snapshot import identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from quickthaw.runtime.opened import Opened
    from quickthaw.snapshot.manifest import Manifest

    Stamps = dict[str, tuple[int, ...]]

CAP_SYS_ADMIN = 21  # linux/capability.h
CAP_CHECKPOINT_RESTORE = 40
CRIU_NOT_PERMITTED = "CRIU needs CAP_CHECKPOINT_RESTORE or root, this process has neither"


def snapshot_fits(manifest: Manifest, opened: Opened) -> Stamps:
    """Compares the snapshot with this machine and with itself, and opens its files.

    Returns:
        As `files_fit`.

    Raises:
        Declined: the first thing that is not as it was.
    """
    made_by = manifest.body["tool"]["quickthaw"]
    if made_by != __version__:  # the code that wakes is inside the snapshot, and ours must speak its language
        raise Declined(f"the snapshot was made by quickthaw {made_by}, this is {__version__}")
    machine = posix.uname().machine
    if machine != manifest.architecture:
        raise Declined(f"the snapshot is for {manifest.architecture}, this machine is {machine}")
    if sys.implementation.cache_tag != manifest.python_tag:
        raise Declined(
            f"the snapshot is of {manifest.python_tag}, the runtime is {sys.implementation.cache_tag}"
        )
    missing = set(manifest.cpu_flags) - cpu_flags()
    if missing:
        raise Declined(f"this CPU lacks {' '.join(sorted(missing))}")
    opened.check(manifest)
    return files_fit(manifest)


def files_fit(manifest: Manifest) -> Stamps:
    """Compares the function's own files and all that it has mapped with what they were.

    Returns:
        What tells by path whether it is still that file, for `files_stay`.

    Raises:
        Declined: the first one that is another.
    """
    seen: Stamps = {}
    for entry in (*manifest.mapped, *manifest.sources):
        now = _stat(entry["path"])
        seen[entry["path"]] = _stamp(now)
        reason = identity.difference(entry, now=now)
        if reason:
            raise Declined(reason)
    return seen


def files_stay(seen: Stamps) -> None:
    """Looks once more; half a millisecond for 200 files, whatever was compared the first time.

    Raises:
        Declined: one was exchanged or changed since.
    """
    for path, stamp in seen.items():
        if _stamp(_stat(path)) != stamp:
            raise Declined(f"{path} was changed while the snapshot was thawed")


def _stat(path: str) -> posix.stat_result | None:
    try:
        return posix.stat(path)
    except OSError:
        return None


def _stamp(now: posix.stat_result | None) -> tuple[int, ...]:
    return () if now is None else (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)


def cpu_flags() -> set[str]:
    """The flags of the first CPU; empty where /proc/cpuinfo has no such line (then nothing fits)."""
    with open("/proc/cpuinfo", "rb") as file:
        for line in file:
            if line.startswith((b"flags", b"Features")):  # x86, arm64
                return set(line.partition(b":")[2].decode().split())
    return set()


def criu_permitted() -> bool:
    """Whether the kernel lets this process restore others: as root, or by the capability for it (5.9+)."""
    with open("/proc/self/status", "rb") as file:
        for line in file:
            if line.startswith(b"CapEff:"):
                effective = int(line.split()[1], 16)
                return bool(effective >> CAP_SYS_ADMIN & 1 or effective >> CAP_CHECKPOINT_RESTORE & 1)
    return False
