"""How CRIU gets the pages: one class for each mode of the criu engine.

Each runs in a thread of the bootstrap while CRIU restores (`sync` alone makes
CRIU wait for it, as the comparison).  `prepare` is called before CRIU is
spawned and must stay cheap and free of heavy imports; `run` is the thread.
A `run` that raises ends the thaw: the caller kills CRIU.

grow    CRIU's restorer treats end of file as "nothing yet, try again" when it
        preadv()s the pages (criu/pie/restorer.c), so blocks are appended to
        the file that it is already reading.  Undocumented: pinned to CRIU
        versions it was seen with, one process only (CRIU's parent-page path
        does not retry), and CRIU spins for ever if the thread dies, hence the
        watchdog in `restore`.
async   the same file under a write lease: CRIU's open() blocks until the
        lease is given back (fcntl(2), F_SETLEASE).  Defined behaviour.  Two
        threads, because the processors are ours until then.
stream  CRIU's --stream protocol, in a file of its own.
plain   the uncompressed images, checked in the thread.

Rejected: userfaultfd (needs kernel faults, refused without privilege), and
decoding into a shared mapping of the file (fresh pages cost more than write).
"""

from __future__ import annotations

import posix
import time

from quickthaw import names
from quickthaw.errors import Declined

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from quickthaw.runtime.decode import FrameDecoder
    from quickthaw.runtime.early import Early
    from quickthaw.runtime.opened import Opened
    from quickthaw.snapshot.manifest import Manifest

GROWING_CRIU = ("4.1.1", "4.2.1", "4.3")  # versions whose restorer was seen to retry at end of file


class Feed:
    """What all modes share: where the images are, what was read, how long it took.

    Attributes:
        images: directory that CRIU is pointed at.
        delivered: bytes of pages that went on their way to CRIU (`plain`: that were checked); the
            watchdog sees by them that the thread lives.
        bytes_read: of page files, stored bytes.
        decompress_s: seconds from the thread's first byte to its last.
        wait_s: seconds CRIU stood waiting for pages; None where that cannot be seen.
    """

    first = False  # whether `run` ends before CRIU is spawned
    stream = False  # whether CRIU is told --stream
    gentle = False  # whether SIGIO must not kill us (leases)
    apart = False  # whether `run`, one thread, and CRIU are kept on different processors

    def __init__(
        self,
        manifest: Manifest,
        opened: Opened,
        work: str,
        liblz4: str,
        arrived: Callable[[str, int, int], None] | None = None,
    ) -> None:
        self.manifest = manifest
        self.opened = opened
        self.work = work
        self.images = f"{work}/images"
        self.liblz4 = liblz4
        self.delivered = 0
        self._arrived = arrived
        self.bytes_read = 0
        self.decompress_s = 0.0
        self.wait_s: float | None = None
        self._targets: dict[str, int] = {}

    def prepare(self) -> None:
        """Before CRIU is spawned: the directory it reads, without pages.

        Raises:
            OSError: the work directory cannot be written.
        """
        self._copy_images()

    def take_over(self, early: Early) -> None:
        """Goes on where another has begun, in place of `prepare`.

        Raises:
            Declined: not in this mode.
        """
        raise Declined("only mode grow is begun early")

    def run(self) -> None:
        """The thread: delivers every page, or raises."""
        raise NotImplementedError

    def close(self) -> None:
        """Gives back descriptors; called when CRIU is gone."""
        for fd in self._targets.values():
            posix.close(fd)
        self._targets.clear()

    def _copy_images(self) -> None:
        """CRIU reads what was checked, not what lies at the same path by now."""
        posix.mkdir(self.images, 0o700)
        for name, data in self.opened.below(names.IMAGES).items():
            if name.endswith(".img"):
                write_file(f"{self.images}/{name}", data)

    def _create_targets(self) -> None:
        for number in self.manifest.pages:
            path = f"{self.images}/pages-{number}.img"
            self._targets[number] = posix.open(path, posix.O_CREAT | posix.O_RDWR | posix.O_CLOEXEC, 0o600)

    def _decode_all(self) -> None:
        """Decodes every page file into its target, in order."""
        from quickthaw.runtime import pour

        begin = time.monotonic()
        for number, fd in self._targets.items():
            self.bytes_read += pour.pour(self.decoder(number), fd, self._on_block)
        self.decompress_s = time.monotonic() - begin

    def _on_block(self, size: int) -> None:
        self.delivered += size

    def decoder(self, number: str) -> FrameDecoder:
        """Decodes a page file, which may still be arriving."""
        from quickthaw.runtime import decode  # as above

        (path, fd), arrived = self.stored(number), self._arrived
        if arrived is None:
            return decode.FrameDecoder(self.liblz4, path, fd)
        return decode.FrameDecoder(self.liblz4, path, fd, lambda start, end: arrived(path, start, end))

    def stored(self, number: str) -> tuple[str, int]:
        """Path and descriptor of a compressed page file.

        Raises:
            Declined: the snapshot holds that one uncompressed only.
        """
        name = self.manifest.pages[number]["file"]
        if name is None:
            raise Declined(f"the snapshot has no compressed pages-{number}: only mode plain can thaw it")
        return f"{self.opened.path}/{names.IMAGES}/{name}", self.opened.pages(name)


class Sync(Feed):
    """Everything is decompressed, then CRIU starts: what the asynchronous modes are compared with."""

    first = True

    def prepare(self) -> None:
        super().prepare()
        self._create_targets()

    def run(self) -> None:
        self._decode_all()
        self.wait_s = self.decompress_s


class Grow(Feed):
    """Blocks are appended to the file that CRIU is already reading.

    By one thread that decodes and writes in turn.  Measured and left out, all
    slower on two processors, where the cost is allocating pages and CRIU
    allocates beside us: a second thread for the writes, holding CRIU back by
    a lease until a share of the pages is there, and punching out what CRIU
    has read (--auto-dedup).
    """

    apart = True
    early: Early | None = None

    def prepare(self) -> None:
        self._suits()
        super().prepare()
        self._create_targets()

    def _suits(self) -> None:
        version = self.manifest.criu_version
        if version not in GROWING_CRIU:
            raise Declined(f"mode grow is not known to work with CRIU {version}; use QUICKTHAW_MODE=async")
        if self.manifest.processes != 1 or len(self.manifest.pages) != 1:
            # CRIU reads a second page file (shared memory, a memfd) elsewhere, where end of file is the end.
            raise Declined("mode grow restores one process with one page file only; use QUICKTHAW_MODE=async")

    def take_over(self, early: Early) -> None:
        self._suits()
        self.work, self.early = early.work, early
        (number,) = self.manifest.pages
        self._targets[number] = early.target

    def run(self) -> None:
        if self.early is None:
            from quickthaw.runtime import room  # loads _ctypes, as `decoder` does: not before CRIU is started

            for number, fd in self._targets.items():
                room.take(fd, self.manifest.pages[number]["content_size"])
            self._decode_all()
            return
        self.early.finish()
        self.bytes_read, self.decompress_s = self.early.bytes_read, self.early.decompress_s


class Async(Feed):
    """CRIU's open() of a page file blocks on our lease until the file is complete."""

    gentle = True

    def prepare(self) -> None:
        import fcntl

        super().prepare()
        self._create_targets()
        for fd in self._targets.values():
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)

    def run(self) -> None:
        import fcntl

        from quickthaw.runtime import ring

        blocks = ring.Ring(self)
        for fd in self._targets.values():
            while block := blocks.next():
                write_all(fd, memoryview(block[0])[: block[1]])
                self.delivered += block[1]
                blocks.give_back(block)
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)


class Plain(Feed):
    """Uncompressed pages, read by CRIU itself; the thread checks them meanwhile."""

    apart = True

    def prepare(self) -> None:
        super().prepare()
        for number in self.manifest.pages:
            name = f"pages-{number}.img"
            if not self.opened.has_pages(name):
                raise Declined("the snapshot has no uncompressed pages (checkpoint --keep-uncompressed)")
            # Through our descriptor: CRIU opens the very file that the thread checks.
            posix.symlink(f"/proc/{posix.getpid()}/fd/{self.opened.pages(name)}", f"{self.images}/{name}")

    def run(self) -> None:
        from quickthaw.snapshot import identity

        begin = time.monotonic()
        for entry in self.manifest.files:
            if entry["path"].startswith(f"{names.IMAGES}/pages-") and not entry["path"].endswith(".comp.img"):
                fd = self.opened.pages(entry["path"].removeprefix(f"{names.IMAGES}/"))
                if identity.crc32_of(fd, self._on_block) != entry["crc32"]:
                    raise Declined(
                        f"{self.opened.path}/{entry['path']} is damaged: its checksum does not fit"
                    )
                self.bytes_read += entry["size"]
        self.decompress_s = 0.0
        self.wait_s = time.monotonic() - begin


def write_all(fd: int, data: memoryview) -> None:
    """write(2) until all is written.

    Raises:
        OSError: as write(2), ENOSPC and EPIPE above all.
    """
    while data:
        data = data[posix.write(fd, data) :]


def write_file(path: str, data: bytes) -> None:
    """Makes a file that only we may read.

    Raises:
        OSError: as open(2) and write(2).
    """
    fd = posix.open(path, posix.O_CREAT | posix.O_EXCL | posix.O_WRONLY | posix.O_CLOEXEC, 0o600)
    try:
        write_all(fd, memoryview(data))
    finally:
        posix.close(fd)
