"""A snapshot in S3 for the native engine: the plan, a process that fetches the pages, and the restorer again.

    bootstrap   manifest, plan ---------------- exec --> restorer: checks, maps, decodes what has come
         \\_ fetcher   parts of pages.lz4, into a file without a name    |  |  |
                       "part 3 has 384 KB", through a pipe -------------'--'--'

The restorer cannot speak TLS, and exec ends threads, so the pages are fetched by
a process.  It is nobody's child (forked twice): the thawed function must not
find a child that it never made.  It lives as long as both ends have something
to say: it leaves when all has come, and when the restorer closes the pipe,
because it has declined or was killed.

The pages' file is a memfd, or one of /tmp without a name: nothing of it stays,
whatever happens.  The plan goes over whole; it is small, and nothing can be
checked without it.

Rejected: fetching everything before the restorer starts (decoding, 50 ms for
120 MB, would come after the last byte instead of before it); words in shared
memory instead of a pipe (a fetcher that was killed would have to be looked for);
the layouts lazy and hot (pages that are mapped from a file must be in it before
the process runs, uncompressed: four times the bytes).
"""

from __future__ import annotations

import _signal
import _thread
import posix
import select
import struct
import zlib

from quickthaw import names
from quickthaw.errors import Declined
from quickthaw.runtime.transfer import Fetched, Transfer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, NoReturn

    from quickthaw.runtime.remote import Remote
    from quickthaw.snapshot.manifest import Manifest

VARIABLE = "QUICKTHAW_HANDOVER"  # from us to layer/native/fetched.c, which takes it out again
_MESSAGE = struct.Struct("<II")  # part, bytes of it that have come
_FAILED = 0xFFFFFFFF  # instead of a part: so many bytes of text follow
_MOST_PARTS = 2048
_MOST_TEXT = 380  # bytes
_PLAN = f"{names.NATIVE}/plan"
_PACKED = f"{names.NATIVE}/pages.lz4"
_RAW = f"{names.NATIVE}/pages.raw"


def start_restorer(
    remote: Remote, found: Manifest, command: list[str], environ: Mapping[str, str], started_s: float
) -> NoReturn:
    """Becomes the restorer, which becomes the function, or starts `command`.

    Args:
        command: argv of the original start.
        environ: of the original start.
        started_s: CLOCK_MONOTONIC when the bootstrap began.

    Raises:
        Declined: it cannot; nothing of the attempt is left.
    """
    plan, packed = _parts(remote, found)
    wrapper = f"{__file__.rsplit('/', 4)[0]}/bin/bootstrap"
    if not posix.access(wrapper, 1):  # X_OK
        raise Declined("the native restorer is not in this layer")
    size = int(packed["size"])
    pages = Fetched(_PACKED, size, nameless_file(size))
    opened = [pages.fd]
    try:
        if len(pages.done) > _MOST_PARTS:
            raise Declined(f"{remote.uri}: pages.lz4 is too large")
        opened.append(_start_fetcher(remote, pages))
        data = remote.transfer.read(_PLAN, int(plan["size"]))
        if len(data) != plan["size"] or zlib.crc32(data) != plan["crc32"]:
            raise Declined(f"{remote.uri}/{_PLAN} is damaged: its checksum does not fit")
        opened.append(nameless_file(len(data)))
        posix.write(opened[-1], data)
        packed_fd, pipe, plan_fd = opened
        values = (
            *(plan_fd, packed_fd, pipe, pages.part),
            *(int(started_s * 1e9), int(remote.deadline_s * 1e9), remote.transfer.bytes),
        )
        given = dict(environ) | {VARIABLE: ",".join(map(str, values))}
        for number in (_signal.SIGPIPE, _signal.SIGXFSZ):  # Python ignores these; the next program does not
            _signal.signal(number, _signal.SIG_DFL)
        for fd in opened:
            posix.set_inheritable(fd, True)
        encoded = {_bytes(key): _bytes(value) for key, value in given.items()}
        posix.execve(wrapper, [wrapper, *command], encoded)
    except BaseException as error:
        for fd in opened:  # with the pipe's end the fetcher leaves
            posix.close(fd)
        if isinstance(error, OSError):
            raise Declined(f"cannot hand {remote.uri} over: {error.strerror}") from error
        raise


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")


def _parts(remote: Remote, found: Manifest) -> tuple[dict[str, Any], dict[str, Any]]:
    files = {str(entry["path"]): entry for entry in found.files}
    if _PLAN not in files:
        raise Declined(f"{remote.uri} has no native plan")
    if _RAW in files or _PACKED not in files:
        raise Declined(f"{remote.uri} has another native layout than lz4, the only one that can be fetched")
    return files[_PLAN], files[_PACKED]


def nameless_file(size: int) -> int:
    """A file that ends with its last descriptor: in memory, or in /tmp where a sandbox refuses that.

    Raises:
        Declined: neither is to be had.
    """
    flags = posix.O_RDWR | posix.O_CLOEXEC
    try:
        try:
            fd = posix.memfd_create("quickthaw", posix.MFD_CLOEXEC)
        except OSError:
            fd = posix.open("/tmp", flags | posix.O_TMPFILE, 0o600)
        posix.ftruncate(fd, size)
    except OSError as error:
        raise Declined(f"no file for the pages: {error.strerror}") from error
    return fd


def _start_fetcher(remote: Remote, pages: Fetched) -> int:
    """Leaves a process behind that fetches the pages; returns the read end of its pipe."""
    read, write = posix.pipe2(posix.O_CLOEXEC)
    child = posix.fork()
    if child:
        posix.close(write)
        posix.waitpid(child, 0)
        return read
    try:
        if posix.fork() == 0:
            posix.close(read)
            _fetch(remote, pages, write)
    finally:
        posix._exit(0)  # whatever happens in here, there must not be a second bootstrap


def _fetch(remote: Remote, pages: Fetched, write: int) -> None:
    def tell(_one: Fetched, part: int, done: int) -> None:
        try:
            posix.write(write, _MESSAGE.pack(part, done))
        except OSError:
            posix._exit(0)

    transfer = Transfer(remote.peer, deadline_s=remote.deadline_s, told=tell)
    _thread.start_new_thread(_leave_with_reader, (write,))
    transfer.add(pages)
    transfer.start()
    try:
        transfer.wait(pages, 0, pages.size)
    except Declined as error:
        text = str(error).encode("utf-8", "replace")[:_MOST_TEXT]
        posix.write(write, _MESSAGE.pack(_FAILED, len(text)) + text)


def _leave_with_reader(write: int) -> None:
    """Ends this process when nobody reads the pipe any more: poll(2) tells that without being asked to."""
    poll = select.poll()
    poll.register(write, 0)
    poll.poll()
    posix._exit(0)
