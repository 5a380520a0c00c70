"""``images/start``: what CRIU is started with in mode `grow`, for who starts it before any Python runs.

Text: eight hexadecimal digits (FNV-1a of all that follows), then lines of one
letter, a space and a text, in which ``%`` stands for the work directory:

c PATH      copy a file of the snapshot into the work directory
n PATH      make an empty one there
r PID       what CRIU restores
p FD ROLE   CRIU's descriptor FD is standard output (o), standard error (e), the reading end of the
            thaw pipe (t), the writing end of the woke pipe (w) or the telemetry log (l)
a TEXT      CRIU's next argument
e TEXT      a variable of CRIU's environment
k TEXT      kernel, release and version, that CRIU's kernel cache fits; and for that kernel only:
K PATH, E TEXT

``layer/criu/start.c`` reads it.  That these are the very bytes that the
bootstrap would have used, the bootstrap checks (`quickthaw.runtime.early`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from quickthaw import names
from quickthaw.runtime import criu_command
from quickthaw.runtime.feed import GROWING_CRIU

ROLES: Final = {1: "o", 2: "e", names.THAW_FD: "t", names.WOKE_FD: "w", names.TELEMETRY_FD: "l"}
_WORK: Final = "%"
_MOST: Final = 16_000  # bytes that the reader has room for


def write(
    snapshot: Path, *, criu_version: str, pid: int, pipes: Mapping[int, int], cache: str | None, kernel: str
) -> None:
    """Write the file, where mode grow suits the snapshot.

    Args:
        snapshot: its directory, all but the manifest written.
        criu_version: of the CRIU that dumped.
        pid: of the frozen process.
        pipes: inode of the pipe at each inherited descriptor.
        cache: directory of CRIU's kernel cache in the snapshot, if there is one.
        kernel: that it fits.
    """
    images = snapshot / names.IMAGES
    pages = [path.name for path in images.glob("pages-*.comp.img")]
    if criu_version not in GROWING_CRIU or len(pages) != 1:
        return
    copied = [path.name for path in sorted(images.glob("*.img")) if not path.name.startswith("pages-")]
    lines = [f"c {names.IMAGES}/{name}" for name in (*copied, names.START)]
    lines.append(f"n {names.IMAGES}/{pages[0].replace('.comp', '')}")
    lines.append(f"r {pid}")
    inherited = criu_command.inherited(pipes)
    lines += [f"p {place} {ROLES[fd]}" for fd, place in inherited.items()]
    argv = criu_command.restore(
        criu="criu",
        images=f"{_WORK}/{names.IMAGES}",
        work=_WORK,
        inherit={pipes[fd]: place for fd, place in inherited.items()},
        stream=False,
    )
    lines += [f"a {word}" for word in argv[1:]]
    lines += _environ("e", criu_command.environ(cache=None))
    if cache is not None:
        lines.append(f"k {kernel}")
        lines += [f"K {cache}/{path.name}" for path in sorted((snapshot / cache).iterdir())]
        with_cache = criu_command.environ(cache=f"{_WORK}/{cache}").items()
        lines += _environ("E", dict(with_cache - criu_command.environ(cache=None).items()))
    text = "".join(f"{line}\n" for line in lines).encode()
    if len(text) <= _MOST:
        (images / names.START).write_bytes(f"{checksum(text):08x}\n".encode() + text)


def checksum(data: bytes) -> int:
    """FNV-1a, 32 bits (draft-eastlake-fnv)."""
    value = 2166136261
    for byte in data:
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return value


def _environ(letter: str, environ: Mapping[str, str]) -> Iterable[str]:
    return [f"{letter} {name}={value}" for name, value in sorted(environ.items())]
