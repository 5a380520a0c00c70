"""The sandbox's /tmp: an ext4 file system on a block device of its own, as a Lambda function has it.

It matters for the figures: a tmpfs takes and gives its pages one by one, and
writing 115 MB of decompressed pages to it costs 40 ms where ext4, which caches
large folios, takes 20.

The device is a loop over a sparse file.  It is mounted in a mount namespace
that bubblewrap's is made from, and the file loses its name at once: whatever is
killed from then on, the kernel takes both away with the last process inside.
(Killed within the ten milliseconds before, we leave an empty sparse file.)
Where there are no loop devices (most containers), /tmp is a tmpfs, and `kind`
says so.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from quickthaw.errors import ToolFailed

Kind = Literal["ext4", "tmpfs"]

# Bytes of a file system that hold no files' contents: inodes, bitmaps, group descriptors.
_OVERHEAD = 1 << 20
_OVERHEAD_SHARE = 28

# $1 image, $2 mount point, then the command.
_MOUNT = (
    'mount -o loop,nosuid,nodev -- "$1" "$2" && rm -- "$1" && rmdir -- "$2/lost+found" && chmod 1777 -- "$2"'
    ' && shift 2 && exec "$@"'
)


class Scratch:
    """One /tmp, made and ready to be mounted.

    Attributes:
        mount_point: where `prefix` mounts it, seen by the command alone.

    Args:
        stack: its end removes what the host has of it.
        tmp_bytes: what files may take in it.

    Raises:
        ToolFailed: mkfs.ext4 is missing or fails.
    """

    def __init__(self, stack: ExitStack, tmp_bytes: int) -> None:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quickthaw-tmp-")))
        self._image = directory / "image"
        self.mount_point = directory / "tmp"
        self.mount_point.mkdir()
        with self._image.open("wb") as file:
            file.truncate(tmp_bytes + tmp_bytes // _OVERHEAD_SHARE + _OVERHEAD)
        command = [
            _mkfs(), "-q", "-F", "-b", "4096", "-m", "0", "-O", "^has_journal,^resize_inode",
            "-E", "lazy_itable_init=1,nodiscard", str(self._image),
        ]  # fmt: skip
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            words = getattr(error, "stderr", b"").decode(errors="replace").strip()
            raise ToolFailed(f"no file system for the sandbox's /tmp: {words or error}") from error

    def prefix(self) -> list[str]:
        """Words before a command that is to find it mounted at `mount_point`."""
        return [
            "unshare", "--mount", "--propagation", "private", "--",
            "/bin/sh", "-c", _MOUNT, "sh", str(self._image), str(self.mount_point),
        ]  # fmt: skip


@functools.cache
def kind() -> Kind:
    """What /tmp is on this machine, found out by mounting one."""
    try:
        with ExitStack() as stack:
            subprocess.run(
                [*Scratch(stack, 8 << 20).prefix(), "true"], check=True, capture_output=True, timeout=10
            )
    except (OSError, subprocess.SubprocessError, ToolFailed):
        return "tmpfs"
    return "ext4"


def _mkfs() -> str:
    return (
        shutil.which("mkfs.ext4", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin") or "mkfs.ext4"
    )
