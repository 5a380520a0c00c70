"""manifest.json: what a snapshot is, and what must be the same where it is thawed.

Written last, by `quickthaw.checkpoint`; a directory without it is no snapshot.
Read first, by the bootstrap, before a byte is decompressed.  The last member,
`checksum`, is the CRC-32 of all text before it: it finds damage in about
0.1 ms.  (SHA-256 of every file stands in the manifest too, for `verify` and
`publish`; importing `hashlib` costs 3 ms of every thaw and finds no more
*accidents*.  Whoever can change a layer can change a checksum as well.)

The records are plain classes over the parsed document: `dataclasses` imports
`inspect` and `re`, 8 ms that a thaw does not have.
"""

from __future__ import annotations

import posix
import zlib

from quickthaw import names
from quickthaw.errors import BadSnapshot
from quickthaw.snapshot import plainjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SEAL = ',\n "checksum": "crc32:'


class Manifest:
    """One snapshot's manifest (format 1).

    Attributes:
        body: the document as parsed; members as the README lists them.
    """

    __slots__ = ("body",)

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body

    @property
    def id(self) -> str:
        """Names this one snapshot in every log line; 16 hexadecimal digits."""
        return str(self.body["id"])

    @property
    def architecture(self) -> str:
        """As `uname -m` says it."""
        return str(self.body["machine"]["arch"])

    @property
    def kernel(self) -> str:
        """Release and version of the kernel of the checkpoint; CRIU's kernel cache fits this one only."""
        return str(self.body["machine"]["kernel"])

    @property
    def cpu_flags(self) -> list[str]:
        """Flags of /proc/cpuinfo that libraries may have chosen code for."""
        return list(self.body["machine"]["cpu_flags"])

    @property
    def criu_version(self) -> str:
        """Of the CRIU that dumped."""
        return str(self.body["tool"]["criu"])

    @property
    def python_tag(self) -> str:
        """`sys.implementation.cache_tag` of the frozen interpreter."""
        return str(self.body["python"]["tag"])

    @property
    def handler(self) -> str:
        """`module.function`, as Lambda's _HANDLER."""
        return str(self.body["function"]["handler"])

    @property
    def cold_init_s(self) -> float:
        """Seconds a cold start took on the machine of the checkpoint, start to first next()."""
        return float(self.body["function"]["cold_init_s"])

    @property
    def pid(self) -> int:
        """Of the frozen process; CRIU gives it back."""
        return int(self.body["process"]["pid"])

    @property
    def processes(self) -> int:
        """How many processes the images hold."""
        return int(self.body["process"]["processes"])

    @property
    def pipes(self) -> dict[int, int]:
        """Inode number of the pipe at each inherited descriptor of the frozen process."""
        return {int(fd): int(inode) for fd, inode in self.body["process"]["pipes"].items()}

    @property
    def mapped(self) -> list[dict[str, Any]]:
        """Every mapped file: path, size, mtime_ns, build_id, sha256."""
        return list(self.body["mapped"])

    @property
    def sources(self) -> list[dict[str, Any]]:
        """The function's own source files that were loaded, and its packages' lists of files; as `mapped`."""
        return list(self.body["sources"])

    @property
    def pages(self) -> dict[str, dict[str, Any]]:
        """Each pages-N: compressed file, sizes, page counts."""
        return dict(self.body["pages"])

    @property
    def files(self) -> list[dict[str, Any]]:
        """Every file of the snapshot but the manifest: path, size, crc32, sha256."""
        return list(self.body["files"])


def seal(body: dict[str, Any]) -> bytes:
    """The manifest's bytes: the document, indented for people, with its checksum as last member."""
    import json  # build machine only

    text = json.dumps(body, indent=1, ensure_ascii=True)
    head = text[: text.rindex("\n}")]
    return f'{head}{_SEAL}{zlib.crc32(head.encode()):08x}"\n}}\n'.encode()


def parse(data: bytes, path: str) -> Manifest:
    """Checks and parses a manifest.

    Args:
        data: the file's bytes.
        path: named in errors.

    Raises:
        BadSnapshot: damaged, no manifest, or of another format.
    """
    head, seal_found, tail = data.decode("ascii", "replace").rpartition(_SEAL)
    if not seal_found or tail[8:] != '"\n}\n' or f"{zlib.crc32(head.encode()):08x}" != tail[:8]:
        raise BadSnapshot(f"{path} is damaged: its checksum does not fit", hint="Make the snapshot again.")
    body = plainjson.loads(head + "\n}")
    if not isinstance(body, dict):
        raise BadSnapshot(f"{path} is no manifest")
    if body.get("format") != names.FORMAT:
        raise BadSnapshot(
            f"the snapshot has format {body.get('format')}, this quickthaw reads format {names.FORMAT}",
            hint="Make the snapshot again with this version, or thaw it with the version that made it.",
        )
    return Manifest(body)


def read(snapshot: str, *, directory: int | None = None) -> Manifest:
    """The manifest of a snapshot directory.

    Args:
        snapshot: its path.
        directory: descriptor of that directory, where one is open: whatever its path leads to by now.

    Raises:
        BadSnapshot: there is none, it cannot be read, or `parse` refuses it.
    """
    path = f"{snapshot}/{names.MANIFEST}"
    try:
        flags = posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC  # a FIFO must not hold us up
        fd = posix.open(path if directory is None else names.MANIFEST, flags, dir_fd=directory)
        with open(fd, "rb") as file:
            data = file.read()
    except OSError as error:
        raise BadSnapshot(
            f"no snapshot at {snapshot}: {error.strerror}", hint="`quickthaw checkpoint` makes one."
        ) from error
    return parse(data, path)
