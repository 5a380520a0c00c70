"""A snapshot in S3, as far as both engines have it in common.

The manifest comes first: it was written last, so that without it there is no
snapshot, and it says size and checksum of everything else.  What follows is
the engine's: `handover` for native, `unpack` for CRIU, which gets a directory
whose small files are whole and whose pages arrive while they are decoded.
"""

from __future__ import annotations

import posix
import zlib

from quickthaw import names
from quickthaw.errors import Declined
from quickthaw.runtime.connection import Peer
from quickthaw.runtime.s3 import Store
from quickthaw.runtime.transfer import Fetched, Transfer
from quickthaw.runtime.workdir import PREFIX, WorkDirectory
from quickthaw.snapshot.manifest import Manifest, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MANIFEST_MOST = 16 << 20  # bytes; one of the demo has 200 KB


class Remote:
    """One attempt to thaw from S3.

    Attributes:
        uri: of the snapshot.
        deadline_s: CLOCK_MONOTONIC at which it is given up; `thaw` corrects it by the manifest.

    Raises:
        Declined: no such place, no credentials, no certificates.
    """

    def __init__(self, uri: str, environ: Mapping[str, str], *, started_s: float, deadline_s: float) -> None:
        store = Store(uri, environ)
        self.uri = store.uri
        self.deadline_s = deadline_s
        self._started_s = started_s
        try:
            self.peer = Peer(store, environ, deadline_s)
        except OSError as error:
            raise Declined(f"cannot fetch {uri}: {store.host}: {error.strerror or error}") from error
        self.transfer = Transfer(self.peer, deadline_s=deadline_s)
        self._directory: WorkDirectory | None = None
        self._files: dict[str, Fetched] = {}

    def limit(self, deadline_s: float) -> None:
        """Sets the deadline anew, for everything that is fetched from now on."""
        self.deadline_s = self.transfer.deadline_s = deadline_s

    def manifest(self) -> Manifest:
        """Fetches and checks the manifest.

        Raises:
            Declined: it cannot be had.
            BadSnapshot: it is damaged, or of another format.
        """
        data = self.transfer.read(names.MANIFEST, MANIFEST_MOST)
        return parse(data, f"{self.uri}/{names.MANIFEST}")

    def unpack(self, found: Manifest) -> str:
        """Begins to fetch what CRIU needs; the small files are there when it returns.

        Returns:
            A directory as `quickthaw checkpoint` makes it, in /tmp; `finish` and `close` remove it.

        Raises:
            Declined: something cannot be had, or is not what the manifest says.
            OSError: /tmp cannot be written.
        """
        wanted = [entry for entry in found.files if _wanted(str(entry["path"]))]
        self._directory = WorkDirectory(f"{PREFIX}s3-{posix.getpid()}-{posix.urandom(4).hex()}")
        place = self._directory.path
        for directory in sorted({str(entry["path"]).rpartition("/")[0] for entry in wanted} - {""}):
            posix.mkdir(f"{place}/{directory}", 0o700)
        flags = posix.O_RDWR | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC
        for entry in wanted:
            fd = posix.open(f"{place}/{entry['path']}", flags, 0o600)
            posix.ftruncate(fd, int(entry["size"]))
            self._files[str(entry["path"])] = Fetched(str(entry["path"]), int(entry["size"]), fd)
        small = [entry for entry in wanted if not _is_pages(str(entry["path"]))]
        for entry in sorted(wanted, key=lambda entry: _is_pages(str(entry["path"]))):
            self.transfer.add(self._files[str(entry["path"])])
        self.transfer.start()
        for entry in small:
            one = self._files[str(entry["path"])]
            self.transfer.wait(one, 0, one.size)
            if zlib.crc32(posix.pread(one.fd, one.size, 0)) != entry["crc32"]:
                raise Declined(f"{self.uri}/{one.name} is damaged: its checksum does not fit")
        return place

    def arrived(self, path: str, start: int, end: int) -> None:
        """Waits until these bytes of a file of `unpack`'s directory are there.

        Raises:
            Declined: they will not come.
        """
        assert self._directory is not None
        one = self._files[path.removeprefix(f"{self._directory.path}/")]
        self.transfer.wait(one, start, min(end, one.size))

    def timings(self) -> dict[str, object]:
        """For the log line: how long the fetch took, from the start, and its bytes."""
        return {"fetch_s": self.transfer.last_s - self._started_s, "bytes_fetched": self.transfer.bytes}

    def finish(self) -> None:
        """Gives back what was fetched, room and descriptors; call when all of it is in the process."""
        for one in self._files.values():
            if one.has(0, one.size):  # else a thread may still write to it
                posix.close(one.fd)
        self._files.clear()
        self.close()

    def close(self) -> None:
        """Ends the transfer and removes the directory; its descriptors end with us.

        A thread may still write to a file that has no name any more.
        """
        self.transfer.stop()
        if self._directory is not None:
            self._directory.remove()
            self._directory = None


def _wanted(path: str) -> bool:
    """What CRIU reads: images, compressed pages and its kernel cache.

    Raises:
        Declined: a path that leads elsewhere; nobody but an attacker writes such a manifest.
    """
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or len(parts) != 2:
        raise Declined(f"the manifest names {path}")
    if parts[0] == names.IMAGES and parts[1].startswith("pages-"):
        return _is_pages(path)
    return parts[0] != names.NATIVE


def _is_pages(path: str) -> bool:
    return path.startswith(f"{names.IMAGES}/pages-") and path.endswith(".comp.img")
