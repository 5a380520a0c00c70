"""CRIU's command line and environment, spelled once, each flag with its reason (criu(8), CRIU 4.1).

Used for the dump on the build machine and for the restore on Lambda, so it
imports nothing but names.
"""

from __future__ import annotations

from quickthaw import names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_SPARE_FD = 600  # first descriptor number in CRIU for inherited pipes; CRIU's own are above 1000 or below 50
INHERITED = (1, 2, names.THAW_FD, names.WOKE_FD, names.TELEMETRY_FD)  # of the frozen process


def dump(*, criu: str, pid: int, images: str, work: str) -> list[str]:
    """argv that dumps one process tree and leaves it stopped; whoever started it ends it.

    Args:
        criu: path of the binary or its launcher.
        pid: of the tree's root, as CRIU's own pid namespace numbers it.
        images: existing directory for the images.
        work: existing directory for log and statistics.
    """
    return [
        criu,
        "dump",
        f"--tree={pid}",
        f"--images-dir={images}",
        f"--work-dir={work}",
        "--log-file=dump.log",
        "--file-locks",  # an import may hold locks on files of its own; without this CRIU refuses
        "--ghost-limit=64M",  # deleted files that are still open go into the images; the default is 1 MB
        "--leave-stopped",  # the process is the first of its pid namespace: with its end CRIU would end too
        "--unprivileged",  # runs as the function's own user; only so may the images be restored without root
    ]


def restore(*, criu: str, images: str, work: str, inherit: dict[int, int], stream: bool) -> list[str]:
    """argv that restores a tree and leaves.

    Args:
        criu: path of the binary or its launcher.
        images: directory with the images, or with the streamer's socket.
        work: existing, writable directory for log and statistics.
        inherit: descriptor of the CRIU process for each pipe inode of the frozen one.
        stream: images come from the image streamer's socket.
    """
    argv = [
        criu,
        "restore",
        f"--images-dir={images}",
        f"--work-dir={work}",
        "--log-file=restore.log",
        "--file-locks",  # as at the dump
        # Reading every build-id takes 3 ms; `checks` knows more, before CRIU opens and after.
        "--file-validation=filesize",
        "--restore-detached",  # CRIU ends when the process runs
        "--restore-sibling",  # the process becomes our child: we see how it ends
        "--unprivileged",  # CAP_CHECKPOINT_RESTORE is enough; also the only way to use a kernel cache file
    ]
    for inode, fd in inherit.items():
        argv += ["--inherit-fd", f"fd[{fd}]:pipe:[{inode}]"]
    if stream:
        argv.append("--stream")
    return argv


def inherited(pipes: Mapping[int, int]) -> dict[int, int]:
    """Descriptor in CRIU for each descriptor of the frozen process that is given a new pipe.

    Args:
        pipes: as `Manifest.pipes`.
    """
    return {fd: _SPARE_FD + place for place, fd in enumerate(INHERITED) if fd in pipes}


def environ(*, cache: str | None) -> dict[str, str]:
    """The whole environment of a restore.

    Args:
        cache: directory with CRIU's kernel cache, if there is one that fits.
    """
    settings = {
        # FI_NO_BREAKPOINTS (CRIU, fault-injection.h): the last system calls of the restore are traced
        # one by one.  The first hardware breakpoint after a second without any makes the kernel wait
        # for all processors (kernel/events/core.c, account_event), 9 to 19 ms, and CRIU with it.
        "CRIU_FAULT": "130",
        "GNUTLS_NO_IMPLICIT_INIT": "1",  # CRIU needs TLS for its page server only; half a millisecond
    }
    return settings if cache is None else {**settings, "XDG_RUNTIME_DIR": cache}
