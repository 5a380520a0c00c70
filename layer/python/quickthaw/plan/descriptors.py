"""The frozen process's descriptors: which kernel object each one needs, and how to make it again.

Every open file becomes one `Object`; descriptors refer to objects, so that
duplicates share an offset and flags as they did.  The restorer makes all
objects before it gives up its own address space (so a file that is gone is a
cold start, not a dead process), holds them at high numbers, and places them
when everything else is done.

What cannot be made again raises `Impossible`, whose text names the
descriptor; `refuse` collects these.  Descriptors 0 to 2 and quickthaw's own
three are not recreated but given to the process anew.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from quickthaw import names
from quickthaw.criuimg import Process
from quickthaw.criuimg import records as r
from quickthaw.plan import layout

OWN: Final = frozenset({0, 1, 2, names.THAW_FD, names.WOKE_FD, names.TELEMETRY_FD})
_NOT_AT_REOPEN: Final = os.O_CREAT | os.O_EXCL | os.O_TRUNC | os.O_NOCTTY | os.O_CLOEXEC
_STATUS_FLAGS: Final = os.O_NONBLOCK | os.O_APPEND | os.O_DIRECT | os.O_ASYNC | os.O_NOATIME
_PRIVILEGED: Final = 1024  # ports below it want a capability
_TCP_CLOSE: Final = 7  # state of an unconnected socket, linux/tcp_states.h
_TCP_ESTABLISHED: Final = 1
_TCP_LISTEN: Final = 10
_CLOEXEC: Final = 1
DATA_BUDGET: Final = 64 << 20  # bytes of pipe data, memfds and unlinked files that a plan may carry
_IMPOSSIBLE: Final = {
    r.FdType.INOTIFY: "an inotify watch",
    r.FdType.FANOTIFY: "a fanotify group",
    r.FdType.TTY: "a terminal",
    r.FdType.PACKETSK: "a packet socket",
    r.FdType.NETLINKSK: "a netlink socket",
    r.FdType.NS: "a namespace",
    r.FdType.TUNF: "a tun device",
    r.FdType.EXT: "a file that only CRIU's plugins know",
    r.FdType.BPFMAP: "a BPF map",
    r.FdType.PIDFD: "a pidfd",
}


class Impossible(Exception):
    """This descriptor cannot be made again without privileges; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Object:
    """One open file, as a row of the plan's object table."""

    kind: int
    flags: int = 0
    path: str = ""
    data: bytes = b""
    a: int = 0
    b: int = 0
    c: int = 0
    d: int = 0


@dataclass(frozen=True, kw_only=True)
class Descriptors:
    """Objects in the order of making, and what refers to them."""

    objects: tuple[Object, ...]
    fds: tuple[tuple[int, int, bool], ...]  # (fd, object index, close-on-exec)
    watches: tuple[tuple[int, int, int, int], ...]  # (epoll fd, watched fd, events, data)
    max_fd: int
    scratch_fd: int
    mapped: Mapping[int, int]  # file id -> object, for mappings of memfds and of unlinked files
    reasons: tuple[str, ...] = ()  # why some descriptors are missing from the above


def of_process(process: Process) -> Descriptors:
    """Work out all descriptors; nothing is raised, `reasons` tells what is impossible."""
    maker = _Maker(process)
    for fd in sorted(process.fds, key=lambda fd: fd.fd):
        if fd.fd not in OWN:
            maker.add(fd)
    for vma in process.mm.vmas:
        if maps_object(process, vma) and vma.status & r.FILE_SHARED:
            maker.add_mapped(vma)  # a private one gets a copy of the contents, see classify
    fds = tuple(maker.fds)
    highest = max([fd for fd, _, _ in fds if fd < names.THAW_FD] + [2])
    scratch = max(256, highest + 1)
    reasons = list(maker.reasons)
    if len(maker.objects) + scratch > names.THAW_FD:
        reasons.append(f"{len(maker.objects)} open files leave no room for the restorer's own descriptors")
    return Descriptors(
        objects=tuple(maker.objects),
        fds=fds,
        watches=tuple(maker.watches),
        max_fd=max([fd for fd, _, _ in fds] + [*OWN]),
        scratch_fd=scratch,
        mapped=maker.mapped,
        reasons=tuple(reasons),
    )


def maps_object(process: Process, vma: r.Vma) -> bool:
    """Whether a mapping is of a memfd or an unlinked file, which the restorer makes again."""
    return bool(vma.status & r.AREA_MEMFD) or bool(
        vma.status & (r.FILE_PRIVATE | r.FILE_SHARED) and vma.shmid in process.remaps
    )


class _Maker:
    """Turns open files into objects, each once."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.objects: list[Object] = []
        self.fds: list[tuple[int, int, bool]] = []
        self.watches: list[tuple[int, int, int, int]] = []
        self.reasons: list[str] = []
        self.mapped: dict[int, int] = {}
        self._by_file: dict[int, int] = {}
        self._by_inode: dict[tuple[str, int], int] = {}
        self._data = 0
        self._listed: set[int] = set()  # epolls by file id
        self._filled: set[int] = set()  # FIFOs by pipe id
        self._inherited: dict[int, int] = {}  # pipe id -> descriptor 0 to 2
        self._inherited_files: dict[int, int] = {}  # file id -> descriptor 0 to 2
        self._numbers = {fd.fd for fd in process.fds}
        own_files = {}
        for fd in process.fds:
            if fd.fd in OWN:
                own_files[fd.id] = fd.fd
                if fd.fd <= 2:
                    self._inherited_files[fd.id] = fd.fd
                    pipe = process.files[fd.id].pipe
                    if pipe is not None:
                        self._inherited[pipe.pipe_id] = fd.fd

    def add(self, fd: r.Fd) -> None:
        """Add one descriptor."""
        try:
            if fd.id not in self._by_file:
                self._make(self.process.files[fd.id])
            self.fds.append((fd.fd, self._by_file[fd.id], bool(fd.flags & _CLOEXEC)))
            epoll = self.process.files[fd.id].epfd
            if epoll is not None and fd.id not in self._listed:
                self._listed.add(fd.id)  # its duplicates share the list
                self._watch(fd.fd, epoll)
        except Impossible as reason:
            self.reasons.append(f"descriptor {fd.fd}: {reason}")

    def add_mapped(self, vma: r.Vma) -> None:
        """Add the open file behind a mapping; no descriptor may be left of it."""
        where = f"memory at {vma.start:x}-{vma.end:x}"
        file = self.process.files.get(vma.shmid)
        try:
            if file is None:
                raise Impossible("maps a memfd that the images do not hold")
            if vma.shmid not in self._by_file:
                self._make(file)
            # The contents' own object is open for reading and writing, whatever the mapping allows.
            self.mapped[vma.shmid] = self.objects[self._by_file[vma.shmid]].b
        except Impossible as reason:
            self.reasons.append(f"{where}: {reason}")

    def _opened(self, kind: str, inode: int, contents: Object, flags: int, position: int) -> Object:
        """One opening of a file without a name; its contents are an object of their own, made once."""
        if (kind, inode) not in self._by_inode:
            self._by_inode[kind, inode] = self._add(contents)
        return Object(kind=layout.OBJECT_AGAIN, flags=flags, a=position, b=self._by_inode[kind, inode])

    def _add(self, item: Object) -> int:
        self._data += len(item.data)
        if self._data > DATA_BUDGET:
            raise Impossible(f"more than {DATA_BUDGET >> 20} MiB of data in pipes, memfds and unlinked files")
        self.objects.append(item)
        return len(self.objects) - 1

    def _append(self, file_id: int, item: Object) -> None:
        self._by_file[file_id] = self._add(item)

    def _make(self, file: r.File) -> None:
        if file.id in self._inherited_files:
            self._append(file.id, Object(kind=layout.OBJECT_INHERITED, a=self._inherited_files[file.id]))
        elif file.reg is not None:
            self._append(file.id, self._regular(file.reg))
        elif file.pipe is not None:
            self._pipe(file.pipe)
        elif file.fifo is not None:
            self._append(file.id, self._fifo(file.fifo))
        elif file.efd is not None:
            efd = file.efd
            self._append(
                file.id,
                Object(kind=layout.OBJECT_EVENTFD, flags=efd.flags & os.O_NONBLOCK, a=efd.counter),
            )
        elif file.epfd is not None:
            self._append(file.id, Object(kind=layout.OBJECT_EPOLL))
        elif file.tfd is not None:
            self._append(file.id, _timerfd(file.tfd))
        elif file.sgfd is not None:
            flags = file.sgfd.flags & os.O_NONBLOCK
            self._append(file.id, Object(kind=layout.OBJECT_SIGNALFD, flags=flags, a=file.sgfd.sigmask))
        elif file.memfd is not None:
            self._append(file.id, self._memfd(file.memfd))
        elif file.usk is not None:
            self._unix(file.usk)
        elif file.isk is not None:
            self._append(file.id, _inet(file.isk))
        else:
            name = _IMPOSSIBLE.get(r.FdType(file.type)) if file.type in set(r.FdType) else None
            raise Impossible(name or f"an open file of CRIU's type {file.type}")

    def _regular(self, reg: r.RegFile) -> Object:
        flags = reg.flags & ~_NOT_AT_REOPEN
        remap = self.process.remaps.get(reg.id)
        if remap is not None:
            ghost = self.process.ghosts.get(remap.remap_id)
            if ghost is None:
                raise Impossible(f"{reg.name} was unlinked and its contents were not dumped")
            data = ghost.data.rstrip(b"\0")
            contents = Object(kind=layout.OBJECT_TMPFILE, data=data, a=len(ghost.data), b=ghost.mode)
            flags &= _STATUS_FLAGS | os.O_ACCMODE  # it may have been made with O_TMPFILE
            return self._opened("ghost", remap.remap_id, contents, flags, reg.pos)
        if reg.name.startswith(f"/proc/{self.process.pid}/"):
            raise Impossible(f"{reg.name}: after a thaw the process has another number")
        if reg.name.startswith("/dev/") and reg.name not in _DEVICES:
            raise Impossible(f"the device {reg.name}")
        return Object(kind=layout.OBJECT_FILE, flags=flags, path=reg.name, a=reg.pos, b=reg.mode or 0)

    def _pipe(self, pipe: r.Pipe) -> None:
        if pipe.pipe_id in self._inherited:
            self._append(pipe.id, Object(kind=layout.OBJECT_INHERITED, a=self._inherited[pipe.pipe_id]))
            return
        ends = [
            file.pipe
            for file in self.process.files.values()
            if file.pipe and file.pipe.pipe_id == pipe.pipe_id
        ]
        held = {fd.id for fd in self.process.fds}
        readers = [end for end in ends if end.id in held and end.flags & os.O_ACCMODE == os.O_RDONLY]
        writers = [end for end in ends if end.id in held and end.flags & os.O_ACCMODE == os.O_WRONLY]
        if len(readers) > 1 or len(writers) > 1 or len(readers) + len(writers) != len(ends):
            raise Impossible("a pipe that was opened again through /proc")
        if not readers or not writers:
            raise Impossible("a pipe whose other end is closed or in another process")
        stored = self.process.pipe_data.get(pipe.pipe_id)
        self._append(
            readers[0].id,
            Object(
                kind=layout.OBJECT_PIPE,
                flags=readers[0].flags & _STATUS_FLAGS,
                data=stored.data if stored else b"",
                a=(stored.capacity if stored else None) or 0,
            ),
        )
        self._append(writers[0].id, Object(kind=layout.OBJECT_HELD, flags=writers[0].flags & _STATUS_FLAGS))

    def _fifo(self, fifo: r.Fifo) -> Object:
        reg = self.process.files.get(fifo.regf_id or -1)
        if reg is None or reg.reg is None:
            raise Impossible("a FIFO without a name")
        # Several openings share what was written and not yet read: the first brings it.
        stored = self.process.fifo_data.get(fifo.pipe_id) if fifo.pipe_id not in self._filled else None
        self._filled.add(fifo.pipe_id)
        return Object(
            kind=layout.OBJECT_FIFO,
            flags=reg.reg.flags & ~_NOT_AT_REOPEN,
            path=reg.reg.name,
            data=stored.data if stored else b"",
        )

    def _memfd(self, memfd: r.MemFd) -> Object:
        inode = self.process.memfds.get(memfd.inode_id)
        if inode is None or inode.hugetlb_flag:
            raise Impossible("a memfd of huge pages")
        flags = memfd.flags & (_STATUS_FLAGS | os.O_ACCMODE)
        data = shared_bytes(self.process, inode.shmid, inode.size).rstrip(b"\0")
        contents = Object(kind=layout.OBJECT_MEMFD, path=inode.name, data=data, a=inode.size, b=inode.seals)
        return self._opened("memfd", memfd.inode_id, contents, flags, memfd.pos)

    def _unix(self, sock: r.UnixSocket) -> None:
        name = sock.name.rstrip(b"\0")
        if sock.state == _TCP_LISTEN:
            raise Impossible(f"a Unix socket listening on {_printable(sock.name)}")
        if name:
            raise Impossible(f"a Unix socket bound to {_printable(sock.name)}")
        if not sock.peer:
            if sock.state == _TCP_ESTABLISHED:
                raise Impossible("a Unix socket whose peer has hung up")
            flags = sock.flags & os.O_NONBLOCK
            self._append(
                sock.id, Object(kind=layout.OBJECT_SOCKET, flags=flags, a=socket.AF_UNIX, b=sock.type)
            )
            return
        held = {fd.id for fd in self.process.fds}
        peers = [
            f.usk for f in self.process.files.values() if f.usk and f.usk.ino == sock.peer and f.id in held
        ]
        if len(peers) != 1 or peers[0].peer != sock.ino or peers[0].name.rstrip(b"\0"):
            raise Impossible("a Unix socket connected to another process")
        pair = (sock, peers[0])
        for kind, end in zip((layout.OBJECT_SOCKETPAIR, layout.OBJECT_HELD), pair, strict=True):
            packets = self.process.packets.get(end.id, ())
            if any(packet.rights for packet in packets):
                raise Impossible("a Unix socket with descriptors under way")
            if end.opts.so_filter:
                raise Impossible("a Unix socket with a packet filter")
            for option in _lost_options(end.opts):
                raise Impossible(f"a Unix socket with the option {option}")
            data = b"".join(struct.pack("<I", len(packet.data)) + packet.data for packet in packets)
            item = Object(
                kind=kind,
                flags=end.flags & os.O_NONBLOCK,
                data=data,
                a=end.type,
                b=end.shutdown,
                c=end.opts.so_sndbuf,
                d=end.opts.so_rcvbuf,
            )
            self._append(end.id, item)

    def _watch(self, fd: int, epoll: r.EventPoll) -> None:
        for target in epoll.tfd:
            if target.tfd not in self._numbers or target.tfd in OWN - {0, 1, 2}:
                raise Impossible(f"an epoll that watches descriptor {target.tfd}, closed since")
            self.watches.append((fd, target.tfd, target.events, target.data))


_DEVICES: Final = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}


def _lost_options(options: r.SocketOptions) -> list[str]:
    """Options that the restorer does not set and that are not as in a fresh socket."""
    changed = {
        "SO_SNDTIMEO": options.so_snd_tmo_sec or options.so_snd_tmo_usec,
        "SO_RCVTIMEO": options.so_rcv_tmo_sec or options.so_rcv_tmo_usec,
        "SO_PRIORITY": options.so_priority,
        "SO_RCVLOWAT": options.so_rcvlowat > 1,
        "SO_PASSCRED": options.so_passcred,
    }
    return [name for name, value in changed.items() if value]


def _timerfd(timer: r.TimerFd) -> Object:
    return Object(
        kind=layout.OBJECT_TIMERFD,
        flags=timer.flags & os.O_NONBLOCK,
        a=timer.clockid,
        b=timer.vsec * 10**9 + timer.vnsec,
        c=timer.isec * 10**9 + timer.insec,
        d=timer.ticks,
    )


def _inet(sock: r.InetSocket) -> Object:
    kind = {socket.SOCK_STREAM: "TCP", socket.SOCK_DGRAM: "UDP"}.get(sock.type, "network")  # type: ignore[call-overload]
    if sock.state == _TCP_LISTEN:
        raise Impossible(f"a {kind} socket listening on port {sock.src_port}")
    if sock.dst_port or sock.state not in (_TCP_CLOSE, 0):
        raise Impossible(f"a {kind} socket connected to port {sock.dst_port}")
    if sock.src_port and (sock.type != socket.SOCK_DGRAM or sock.src_port < _PRIVILEGED):
        raise Impossible(f"a {kind} socket bound to port {sock.src_port}")
    for option in _lost_options(sock.opts) if sock.opts is not None else ():
        raise Impossible(f"a {kind} socket with the option {option}")
    options = b"".join(layout.OPTION.pack(level=a, name=b, value=c) for a, b, c in _options(sock))
    return Object(
        kind=layout.OBJECT_SOCKET,
        flags=sock.flags & os.O_NONBLOCK,
        data=options + _address(sock),
        a=sock.family,
        b=sock.type,
        c=sock.proto,
        d=len(options) // layout.OPTION.size,
    )


def _options(sock: r.InetSocket) -> list[tuple[int, int, int]]:
    """Level, name and value of what differs from a fresh socket and changes how it can be used."""
    found = []
    if sock.opts is not None:
        values = {
            socket.SO_REUSEADDR: sock.opts.reuseaddr,
            socket.SO_REUSEPORT: sock.opts.so_reuseport,
            socket.SO_BROADCAST: sock.opts.so_broadcast,
            socket.SO_KEEPALIVE: sock.opts.so_keepalive,
        }
        found = [(socket.SOL_SOCKET, name, 1) for name, value in values.items() if value]
    if sock.family == socket.AF_INET6 and sock.v6only:
        found.append((socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1))
    return found


def _address(sock: r.InetSocket) -> bytes:
    """As bind(2) takes it; nothing for a socket that has none. CRIU keeps an address's words as they are."""
    if not sock.src_port:
        return b""
    words = struct.pack(f"<{len(sock.src_addr)}I", *sock.src_addr)
    port = struct.pack(">H", sock.src_port)
    family = struct.pack("<H", sock.family)
    if sock.family == socket.AF_INET:
        return family + port + words[:4].ljust(4, b"\0") + bytes(8)
    return family + port + bytes(4) + words[:16].ljust(16, b"\0") + bytes(4)


def shared_bytes(process: Process, segment: int, size: int) -> bytes:
    """Contents of a shared memory segment, zeros where nothing was written."""
    pagemap = process.shmem.get(segment)
    data = bytearray(size)
    if pagemap is None:
        return bytes(data)
    pages = (process.directory / f"pages-{pagemap.pages_id}.img").read_bytes()
    at = 0
    for run in pagemap.runs:
        length = run.pages * names.PAGE_SIZE
        piece = pages[at : at + length]
        data[run.vaddr : run.vaddr + length] = piece
        at += length
    return bytes(data[:size])


def _printable(name: bytes) -> str:
    return name.replace(b"\0", b"@").decode(errors="replace")
