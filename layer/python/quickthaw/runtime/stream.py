"""Mode stream: CRIU's own --stream protocol, served from here; no copy of the pages on disk.

Documented by CRIU, slower than `grow` on a warm page cache: CRIU reads the
pages from a pipe in one order, and maps everything twice.
"""

from __future__ import annotations

import posix

from quickthaw import names
from quickthaw.errors import Declined
from quickthaw.runtime.feed import Feed, write_all
from quickthaw.runtime.ring import Ring

_PIPE_BYTES = 1 << 20  # /proc/sys/fs/pipe-max-size for everybody
_MSG_CMSG_CLOEXEC = 0x40000000  # linux/socket.h
_F_SETPIPE_SZ = 1031  # linux/fcntl.h; a constant of the fcntl module only since 3.10 and only where built so


class Stream(Feed):
    """Serves CRIU's image streamer protocol (criu/img-streamer.c).

    CRIU connects to `streamer-serve.sock` in its images directory and asks for
    one file after the other: u32 length, a protobuf message with the file name
    in field 1; we answer u32 length, a message with field 1 = exists, and CRIU
    then passes the write end of a pipe with SCM_RIGHTS.
    """

    stream = True

    def prepare(self) -> None:
        import _socket

        if len(self.manifest.pages) != 1:
            raise Declined("mode stream serves one page file only; use QUICKTHAW_MODE=async")
        posix.mkdir(self.images, 0o700)
        self._small = self.opened.below(names.IMAGES)
        self._listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        self._listener.bind(f"{self.images}/streamer-serve.sock")
        self._listener.listen(1)
        self.wait_s = 0.0

    def run(self) -> None:
        import _socket

        self._ring = Ring(self)  # decodes at once, ahead of CRIU's first wish for pages
        fd = self._listener._accept()[0]  # type: ignore[attr-defined]  # the C half of accept()
        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, fd)
        while self._serve_one(connection):
            pass
        connection.close()
        self._ring.check()

    def close(self) -> None:
        super().close()
        self._listener.close()

    def _serve_one(self, connection: object) -> bool:
        head = _receive(connection, 4)
        if not head:
            return False
        message = _receive(connection, int.from_bytes(head, "little"))
        name = message[2 : 2 + message[1]].decode()  # tag, length, name: names are shorter than 128 bytes
        is_pages = name.startswith("pages-")
        found = name[6:-4] in self.manifest.pages if is_pages else name in self._small
        connection.sendall(b"\x02\0\0\0\x08" + (b"\x01" if found else b"\x00"))  # type: ignore[attr-defined]
        if found:
            _, control, _, _ = connection.recvmsg(1, 64, _MSG_CMSG_CLOEXEC)  # type: ignore[attr-defined]
            fd = int.from_bytes(control[0][2][:4], "little")
            try:
                self._pour_pages(fd) if is_pages else self._pour_file(fd, self._small[name])
            finally:
                posix.close(fd)
        return True

    def _pour_file(self, fd: int, data: bytes) -> None:
        if len(data) > 65536:
            _widen(fd)
        write_all(fd, memoryview(data))

    def _pour_pages(self, fd: int) -> None:
        _widen(fd)
        while block := self._ring.next():
            write_all(fd, memoryview(block[0])[: block[1]])
            self.delivered += block[1]
            self._ring.give_back(block)
        self.wait_s = self._ring.wait_s


def _receive(connection: object, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))  # type: ignore[attr-defined]
        if not piece:
            return b""
        data += piece
    return data


def _widen(fd: int) -> None:
    import fcntl

    try:  # noqa: SIM105 - contextlib is an import that the restore path does not have
        fcntl.fcntl(fd, _F_SETPIPE_SZ, _PIPE_BYTES)
    except OSError:
        pass  # over this user's pipe budget: smaller writes, same bytes
