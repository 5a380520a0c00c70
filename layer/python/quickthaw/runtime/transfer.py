"""Objects on their way into files: ranged reads side by side, each tried again where that can help.

An object is cut into parts of equal size, and each of a few threads reads one
part at a time over a connection that it keeps.  Every piece that has arrived is
written and then told, so that a decoder can begin with the first bytes of each
part while the rest is on its way.

What S3 may answer, and what it means:

    206                 the bytes; range, size and ETag are compared with what they must be
    500 502 503 504     throttled (SlowDown) or broken: the rest of the part is asked for again
    cut, stalled        the same, over a new connection
    refused             the same, once: a server that is not there will not be there in a second
    412, another ETag   the object was replaced meanwhile: bytes of two objects must not be mixed
    anything else       will not become better: access denied, no such object, another region

One thread's failure ends all.  Six connections: 28 MB from a local server that
gives 60 MB/s to each and 100 MB/s to all took 0.55 s with one, 0.31 s with four
and no less with more; at 60 of 400 MB/s, 0.15 s with four, 0.11 with six.

Rejected: one connection (a function's share of the network is more than one
connection's), whole objects per connection (the largest would come last), and
HTTP/2 (S3 has none).
"""

from __future__ import annotations

import _thread
import posix
import time

from quickthaw.errors import Declined
from quickthaw.runtime.connection import Connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from quickthaw.runtime.connection import Answer, Peer

CONNECTIONS = 6
PART_MOST = 8 << 20  # bytes; S3 is paid by the request
PART_LEAST = 1 << 20  # bytes; below, the time to the first byte is all there is
_PIECE = 128 << 10  # bytes that are told at once
_TRIES = 6  # of a part without a byte between them
_REFUSED_TRIES = 2
_PAUSE_S = 0.05  # before the second try; doubled each time
_AGAIN = frozenset({500, 502, 503, 504})
_ERROR_BYTES = 2048  # of an error document; the code stands at its beginning


class Fetched:
    """An object and the file that it goes to.

    Attributes:
        name: below the snapshot.
        size: bytes, as the manifest says.
        fd: where it is written.
        part: bytes of each part but the last.
        done: bytes that have arrived of each part, from its beginning.
        etag: of the first answer; every other one must have it.
    """

    __slots__ = ("done", "etag", "fd", "name", "part", "size")

    def __init__(self, name: str, size: int, fd: int) -> None:
        self.name = name
        self.size = size
        self.fd = fd
        self.part = part_size(size)
        self.done = [0] * -(-size // self.part)
        self.etag = ""

    def has(self, start: int, end: int) -> bool:
        """Whether these bytes are in the file."""
        return all(
            self.done[number] >= min(end - number * self.part, self.part)
            for number in range(start // self.part, -(-end // self.part))
        )


def part_size(size: int) -> int:
    """Bytes of a part: as many parts as connections, where they are of a sensible size then."""
    return min(PART_MOST, max(PART_LEAST, -(-size // CONNECTIONS)))


class Transfer:
    """Reads objects of one store with a few threads.

    Attributes:
        deadline_s: CLOCK_MONOTONIC at which it is given up.
        bytes: received bodies, those of tries that failed too.
        failure: why it has ended early; None while all is well.
        last_s: CLOCK_MONOTONIC when the last bytes came.

    Args:
        peer: whom to ask.
        deadline_s: CLOCK_MONOTONIC at which the whole transfer is given up.
        told: called with object, part and bytes of that part, after each piece.
    """

    def __init__(
        self,
        peer: Peer,
        *,
        deadline_s: float,
        told: Callable[[Fetched, int, int], None] = lambda _object, _part, _done: None,
    ) -> None:
        self.bytes = 0
        self.failure: str | None = None
        self.last_s = time.monotonic()
        self._peer = peer
        self._store = peer.store
        self.deadline_s = deadline_s
        self._told = told
        self._lock = _thread.allocate_lock()
        self._gates: list[_thread.LockType] = []
        self._parts: list[tuple[Fetched, int]] = []
        self._idle: Connection | None = None

    def read(self, name: str, limit: int) -> bytes:
        """A whole small object, in the calling thread; its connection is kept for `start`.

        Args:
            limit: bytes that it may have at most.

        Raises:
            Declined: it cannot be had.
        """
        buffer = bytearray(limit)
        connection, got = self._idle, 0
        self._idle = None
        for attempt in range(_TRIES):
            try:
                connection = connection or self._connect(attempt)
                answer = self._answer(connection, name, {})
                if answer.status == 200 and (answer.length is None or answer.length > limit):
                    raise Declined(f"{answer.length} bytes, at most {limit} can be meant")
                got = 0
                while got < (answer.length or 0):
                    size = connection.read(memoryview(buffer)[got : answer.length])
                    if not size:
                        raise ConnectionError("the connection ended early")
                    got += size
                if answer.last:
                    connection.close()
                else:
                    self._idle = connection
                self.bytes += got
                return bytes(buffer[:got])
            except Declined as error:
                raise self._declined(name, str(error)) from error
            except OSError as error:
                if connection is not None:
                    connection.close()
                    connection = None
                if not self._pause(error, attempt):
                    raise self._declined(name, _text(error)) from error
        raise self._declined(name, "tried too often")

    def add(self, one: Fetched) -> None:
        """Puts an object in the queue, its last part first: the index of a page file lies there."""
        numbers = list(range(len(one.done)))
        self._parts += [(one, number) for number in numbers[-1:] + numbers[:-1]]

    def start(self) -> None:
        """Starts the threads; `add` comes before."""
        for _ in range(min(CONNECTIONS, len(self._parts))):
            _thread.start_new_thread(self._work, ())

    def wait(self, one: Fetched, start: int, end: int) -> None:
        """Until these bytes are in the file.

        Raises:
            Declined: they will not come; the text says why.
        """
        while True:
            with self._lock:
                if self.failure is not None:
                    raise Declined(self.failure)
                if one.has(start, end):
                    return
                gate = _thread.allocate_lock()
                gate.acquire()
                self._gates.append(gate)
            gate.acquire()  # let go by the next piece, whichever it is

    def stop(self) -> None:
        """Lets the threads end at their next step; nobody waits for them."""
        self._fail("nobody wants it any more")

    # --- the threads ------------------------------------------------------------

    def _work(self) -> None:
        connection: Connection | None = None
        with self._lock:
            connection, self._idle = self._idle, None
        while True:
            with self._lock:
                if not self._parts or self.failure is not None:
                    break
                one, number = self._parts.pop(0)
            try:
                connection = self._fetch(one, number, connection)
            except BaseException as error:
                self._fail(self._declined(one.name, _text(error)).args[0])
                break
        if connection is not None:
            connection.close()

    def _fetch(self, one: Fetched, number: int, connection: Connection | None) -> Connection | None:
        """One part; returns the connection for the next one, which may be another one."""
        begin, end = number * one.part, min(one.size, (number + 1) * one.part)
        buffer = memoryview(bytearray(_PIECE))
        attempt = 0
        while True:
            at = begin + one.done[number]
            try:
                connection = connection or self._connect(attempt)
                last = self._ask(connection, one, at, end)
                while at < end:
                    got = self._piece(connection, buffer[: end - at])
                    _write(one.fd, buffer[:got], at)
                    at += got
                    attempt = 0
                    self._arrived(one, number, at - begin, got)
                if last:
                    connection.close()
                    return None
                return connection
            except OSError as error:
                if connection is not None:
                    connection.close()
                    connection = None
                if not self._pause(error, attempt):
                    raise
                attempt += 1

    def _ask(self, connection: Connection, one: Fetched, at: int, end: int) -> bool:
        """Asks for bytes of an object and checks what is about to come; True: nothing more after it."""
        more = {"range": f"bytes={at}-{end - 1}"}
        if one.etag:
            more["if-match"] = one.etag
        answer = self._answer(connection, one.name, more)
        described = answer.headers.get("content-range", "")
        if answer.status != 206 or answer.length != end - at:
            raise Declined(f"S3 answers a range with status {answer.status} and {answer.length} bytes")
        if described != f"bytes {at}-{end - 1}/{one.size}":
            raise Declined(f"S3 has {described}, the manifest says {one.size} bytes")
        etag = answer.headers.get("etag", "")
        with self._lock:
            one.etag = one.etag or etag
        if etag != one.etag:
            raise Declined("it was replaced while it was fetched")
        return answer.last

    def _answer(self, connection: Connection, name: str, more: Mapping[str, str]) -> Answer:
        """An answer with the body still to be read.

        Raises:
            OSError: another try may help.
            Declined: none will.
        """
        answer = connection.ask(self._store.request(name, more))
        if answer.status in (200, 206):
            return answer
        code = _code(connection, answer)
        said = f"{answer.status} {code}".rstrip()
        if answer.status in _AGAIN or code in ("RequestTimeout", "SlowDown"):
            raise ConnectionError(said)
        if answer.status == 403 and code in ("AccessDenied", ""):
            said += ", or no such object: without s3:ListBucket S3 says the same"
        elif answer.status == 412:
            said = "it was replaced while it was fetched"
        elif "x-amz-bucket-region" in answer.headers and answer.status in (301, 307, 400):
            said += f", the bucket is in {answer.headers['x-amz-bucket-region']}"
        raise Declined(said)

    def _piece(self, connection: Connection, view: memoryview) -> int:
        """Fills the view."""
        got = 0
        while got < len(view):
            size = connection.read(view[got:])
            if not size:
                if not got:
                    raise ConnectionError("the connection ended early")
                break  # what has come is kept
            got += size
        return got

    def _connect(self, attempt: int) -> Connection:
        try:
            return Connection(self._peer, self.deadline_s, attempt)
        except ValueError as error:  # a certificate: OpenSSL's error is both, and no other try helps
            raise Declined(f"{self._store.host}: {_text(error)}") from error

    def _pause(self, error: OSError, attempt: int) -> bool:
        """Waits before another try; False where there shall be none."""
        tries = _REFUSED_TRIES if isinstance(error, ConnectionRefusedError) else _TRIES
        if isinstance(error, _Disk) or attempt + 1 >= tries or self.failure is not None:
            return False
        pause_s = _PAUSE_S * (1 << attempt) * (0.5 + posix.urandom(1)[0] / 256)
        if time.monotonic() + pause_s >= self.deadline_s:
            return False
        if attempt or isinstance(error, ConnectionError):
            time.sleep(pause_s)
        return True

    def _arrived(self, one: Fetched, number: int, done: int, got: int) -> None:
        with self._lock:
            one.done[number] = done
            self.bytes += got
            self.last_s = time.monotonic()
            self._told(one, number, done)
            self._open_gates()

    def _fail(self, why: str) -> None:
        with self._lock:
            self.failure = self.failure or why
            self._open_gates()

    def _open_gates(self) -> None:
        for gate in self._gates:
            gate.release()
        self._gates.clear()

    def _declined(self, name: str, why: str) -> Declined:
        return Declined(f"cannot fetch {self._store.uri}/{name}: {why}")


class _Disk(OSError):
    """The file, not the network: no other try helps."""


def _write(fd: int, data: memoryview, at: int) -> None:
    while data:
        try:
            put = posix.pwrite(fd, data, at)
        except OSError as error:
            raise _Disk(error.errno, error.strerror) from error
        data, at = data[put:], at + put


def _code(connection: Connection, answer: Answer) -> str:
    """The code of an S3 error document, as AccessDenied; empty where there is none."""
    buffer = bytearray(min(_ERROR_BYTES, _ERROR_BYTES if answer.length is None else answer.length))
    got = 0
    try:
        while got < len(buffer) and b"</Code>" not in buffer:
            size = connection.read(memoryview(buffer)[got:])
            if not size:
                break
            got += size
    except OSError:
        pass  # the status alone, then
    code = bytes(buffer).partition(b"<Code>")[2].partition(b"</Code>")[0]
    return code[:64].decode("ascii", "replace") if b"</Code>" in buffer else ""


def _text(error: BaseException) -> str:
    if isinstance(error, Declined):
        return str(error)
    if isinstance(error, TimeoutError):
        return "it took too long"
    strerror = getattr(error, "strerror", None)
    return str(strerror or error or type(error).__name__)
