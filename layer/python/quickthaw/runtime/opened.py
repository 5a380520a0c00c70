"""A snapshot's files, opened once: what was checked is what is used.

A snapshot may be replaced while it is thawed (a new checkpoint's rename, a
deployment into a mounted directory).  So the directory is opened before the
manifest is read, and everything else through that descriptor: all files are of
one snapshot.  And nothing is opened again after its check: CRIU's small images
are kept as bytes, which the feed gives to CRIU as files of its own; page files
stay open until they have been decoded.

What this cannot close: files of the function that CRIU maps by their paths.
They are compared before CRIU starts and again when it has opened them all, so
a library that is exchanged in between is declined, and one that is exchanged
later is not in the process.  (Where CRIU began before Python, see `early`: what
changed since then is not trusted.)

The images are some 20 files and 0.2 to 2 MB; copying them costs less than a
millisecond.  Links, as before, let CRIU read what nobody had checked.
"""

from __future__ import annotations

import posix
import zlib

from quickthaw import names
from quickthaw.errors import BadSnapshot, Declined

TYPE_CHECKING = False
if TYPE_CHECKING:
    from quickthaw.snapshot.manifest import Manifest

_PIECE = 1 << 20


class Opened:
    """A snapshot directory.

    Attributes:
        path: as it is called in messages.
        small: contents of the checked files that are not pages, by their path in the snapshot.
    """

    def __init__(self, path: str) -> None:
        """Opens the directory; `check` opens the files.

        Raises:
            BadSnapshot: there is none.
        """
        self.path = path
        self.small: dict[str, bytes] = {}
        self._pages: dict[str, int] = {}
        try:
            self.fd = posix.open(path, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
        except OSError as error:
            raise BadSnapshot(
                f"no snapshot at {path}: {error.strerror}", hint="`quickthaw checkpoint` makes one."
            ) from error

    def check(self, manifest: Manifest) -> None:
        """Opens every file that CRIU needs; compares sizes, and the checksums of all but the pages.

        Pages are checked while they are read.  The native engine looks after its own files, mode
        plain after the uncompressed pages: neither is published for CRIU, and may be missing.

        Raises:
            Declined: a file cannot be read or is not what the manifest says.
        """
        for entry in manifest.files:
            name = str(entry["path"])
            path = f"{self.path}/{name}"
            try:
                if name.startswith(f"{names.NATIVE}/"):
                    continue
                if name.startswith(f"{names.IMAGES}/pages-"):
                    try:
                        self._pages[name] = fd = self._open(name)
                    except FileNotFoundError:
                        if name.endswith(".comp.img"):
                            raise
                        continue
                    self._size_fits(posix.fstat(fd).st_size, entry)
                else:
                    self.small[name] = data = self._read(name)
                    self._size_fits(len(data), entry)
                    if zlib.crc32(data) != entry["crc32"]:
                        raise Declined(f"{path} is damaged: its checksum does not fit")
            except OSError as error:
                raise Declined(f"{path}: {error.strerror}") from error

    def pages(self, name: str) -> int:
        """The descriptor of a page file that was checked; it stays ours.

        Args:
            name: file name in the images directory.

        Raises:
            Declined: the snapshot has no such file.
        """
        fd = self._pages.get(f"{names.IMAGES}/{name}")
        if fd is None:
            raise Declined(f"{self.path}/{names.IMAGES}/{name} is not in the manifest")
        return fd

    def close(self) -> None:
        """Closes everything; a file that was unlinked takes room until then."""
        for fd in (self.fd, *self._pages.values()):
            posix.close(fd)
        self._pages.clear()

    def has_pages(self, name: str) -> bool:
        """Whether `pages` would find it."""
        return f"{names.IMAGES}/{name}" in self._pages

    def below(self, directory: str) -> dict[str, bytes]:
        """The small files of a directory of the snapshot, by file name."""
        start = f"{directory}/"
        return {name[len(start) :]: data for name, data in self.small.items() if name.startswith(start)}

    def _size_fits(self, size: int, entry: dict[str, object]) -> None:
        if size != entry["size"]:
            raise Declined(f"{self.path}/{entry['path']} has {size} bytes, the manifest says {entry['size']}")

    def _open(self, name: str) -> int:
        # O_NONBLOCK: a FIFO in the place of a file must not hold us up.
        return posix.open(name, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC, dir_fd=self.fd)

    def _read(self, name: str) -> bytes:
        fd = self._open(name)
        try:
            pieces = []
            while piece := posix.read(fd, _PIECE):
                pieces.append(piece)
            return b"".join(pieces)
        finally:
            posix.close(fd)
