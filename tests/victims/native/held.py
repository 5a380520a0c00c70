"""Descriptors, timers, locks and mappings that an import may leave behind."""

import ctypes
import fcntl
import mmap
import os
import queue
import select
import shutil
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
held: dict[str, Any] = {}
fired: list[int] = []
SIZE = 1 << 20
F_OFD_SETLK = 37
woken: "queue.Queue[str]" = queue.Queue()


def hold() -> None:
    """One of each."""
    reader, writer = os.pipe()
    os.write(writer, b"unread")
    held["pipe"] = (reader, writer)
    held["pipe copy"] = os.dup(reader)
    empty = os.pipe2(os.O_NONBLOCK)
    held["empty pipe"] = empty
    fcntl.fcntl(empty[1], fcntl.F_SETPIPE_SZ, 1 << 17)
    event = os.eventfd(5, os.EFD_NONBLOCK)
    held["event"] = event
    left, right = socket.socketpair()
    left.sendall(b"stream")
    left.setblocking(False)
    held["pair"] = (left, right)
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.send(b"first")
    one.send(b"second")
    held["datagrams"] = (one, two)
    epoll = select.epoll()
    epoll.register(reader, select.EPOLLIN)
    epoll.register(right.fileno(), select.EPOLLIN | select.EPOLLET)
    epoll.register(empty[0], select.EPOLLIN)
    held["epoll"] = epoll
    timer = libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK)
    libc.timerfd_settime(timer, 0, struct.pack("qqqq", 0, 0, 0, 300_000_000), None)
    held["timerfd"] = timer
    mask = struct.pack("Q", 1 << (signal.SIGUSR2 - 1))
    held["signalfd"] = libc.signalfd(-1, mask, os.O_NONBLOCK)
    memory = os.memfd_create("scratch")
    os.write(memory, b"in memory")
    held["memfd"] = memory
    file = tempfile.TemporaryFile(dir="/tmp")  # noqa: SIM115 - stays open
    file.write(b"x" * 5000 + b"end")
    file.flush()
    file.seek(5000)
    held["unlinked"] = file
    held["append"] = os.open("/dev/null", os.O_WRONLY | os.O_APPEND)
    held["source"] = open(__file__, "rb")  # noqa: SIM115 - stays open
    held["source"].seek(4)
    held["source copy"] = os.dup(held["source"].fileno())
    fcntl.flock(held["source"], fcntl.LOCK_SH)
    held["cloexec"] = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(held["source copy"], True)
    held["stdout copy"] = os.dup(1)
    epoll_copy = os.dup(epoll.fileno())
    held["epoll copy"] = select.epoll.fromfd(epoll_copy)
    _sockets()
    held["directory"] = os.open("/usr", os.O_RDONLY | os.O_DIRECTORY)
    signal.setitimer(signal.ITIMER_REAL, 3600, 60)
    signal.setitimer(signal.ITIMER_PROF, 3600)
    signal.signal(signal.SIGVTALRM, lambda number, _frame: fired.append(number))
    signal.setitimer(signal.ITIMER_VIRTUAL, 3600, 0)
    signal.signal(signal.SIGRTMIN, lambda number, _frame: fired.append(number))
    held["posix timer"] = _posix_timer()
    _mappings()
    held["numbers"] = _open_numbers()


def _sockets() -> None:
    """Without a peer: never bound, bound by hand, bound by sending, TCP that was never connected."""
    held["udp"] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    held["udp"].setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    held["udp"].setblocking(False)
    held["bound udp"] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    held["bound udp"].bind(("127.0.0.1", 0))
    held["bound udp name"] = held["bound udp"].getsockname()
    held["used udp"] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    held["used udp"].sendto(b"x", ("127.0.0.1", 9))
    held["udp6"] = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    held["udp6"].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    held["tcp"] = socket.socket()
    held["tcp"].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held["tcp"].setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _wait() -> None:
    """Threads in timed waits of several kinds; each says by its name that its wait has ended."""

    def run(name: str, wait: Callable[[], object]) -> None:
        def work() -> None:
            wait()
            woken.put(name)

        threading.Thread(target=work, daemon=True).start()

    reader, writer = os.pipe()
    held["wake"] = writer
    condition = threading.Condition()
    held["condition"] = condition

    def wait_for_condition() -> None:
        with condition:
            condition.wait(3600)

    run("sleep", lambda: time.sleep(0.5))
    run("select", lambda: select.select([reader], [], [], 3600))
    run("condition", wait_for_condition)
    run("timeout", lambda: threading.Event().wait(0.5))


def _posix_timer() -> int:
    first = ctypes.c_void_p()
    libc.timer_create(time.CLOCK_MONOTONIC, None, ctypes.byref(first))
    identity = ctypes.c_void_p()
    event = struct.pack("QiiQQQQQQ", 0, signal.SIGRTMIN, 0, 0, 0, 0, 0, 0, 0)  # SIGEV_SIGNAL
    if libc.timer_create(time.CLOCK_MONOTONIC, event, ctypes.byref(identity)) != 0:
        raise OSError(ctypes.get_errno(), "timer_create")
    libc.timer_settime(identity, 0, struct.pack("qqqq", 0, 0, 0, 300_000_000), None)
    libc.timer_delete(first)  # its id is free, and the other keeps the one behind it
    return identity.value or 0


def _lock(start: int) -> bytes:
    """Exclusive, of two bytes: struct flock."""
    return struct.pack("hhiqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, start, 2, 0)


def _mappings() -> None:
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    held["reserved"] = libc.mmap(None, 64 << 20, 0, private | 0x4000, -1, 0)
    code = libc.mmap(None, 4096, mmap.PROT_READ | mmap.PROT_WRITE, private, -1, 0)
    ctypes.memmove(code, b"\xb8\x2a\x00\x00\x00\xc3", 6)  # mov $42, %eax; ret
    libc.mprotect(code, 4096, mmap.PROT_READ | mmap.PROT_EXEC)
    held["code"] = code
    guard = libc.mmap(None, 3 * 4096, mmap.PROT_READ | mmap.PROT_WRITE, private, -1, 0)
    libc.mprotect(guard + 4096, 4096, 0)
    ctypes.memset(guard, 7, 4096)
    held["guard"] = guard
    unforked = libc.mmap(None, 4096, mmap.PROT_READ | mmap.PROT_WRITE, private, -1, 0)
    libc.madvise(unforked, 4096, 10)  # MADV_DONTFORK
    ctypes.memset(unforked, 8, 4096)
    held["unforked"] = unforked
    wiped = libc.mmap(None, 4096, mmap.PROT_READ | mmap.PROT_WRITE, private, -1, 0)
    libc.madvise(wiped, 4096, 18)  # MADV_WIPEONFORK
    ctypes.memset(wiped, 9, 4096)
    held["wiped"] = wiped
    shared = mmap.mmap(-1, SIZE)  # shared and anonymous, Python's default
    shared[5000:5006] = b"shared"
    held["shared"] = shared
    memory = os.memfd_create("mapped")
    os.truncate(memory, 10000)
    held["mapped memfd"] = mmap.mmap(memory, 10000)
    held["mapped memfd"][6000:6006] = b"memory"
    held["memfd again"] = os.open(f"/proc/self/fd/{memory}", os.O_RDONLY)
    os.close(memory)
    nameless = {
        "private memfd": os.memfd_create("private"),
        "private file": os.open("/tmp", os.O_TMPFILE | os.O_RDWR),
    }
    for name, fd in nameless.items():
        os.write(fd, b"from the file".ljust(3 * 4096, b"."))
        held[name] = mmap.mmap(fd, 3 * 4096, flags=mmap.MAP_PRIVATE)
        held[name][5000:5005] = b"dirty"
        os.close(fd)
    with tempfile.TemporaryFile(dir="/tmp") as file:
        file.truncate(10000)
        held["mapped deleted file"] = mmap.mmap(file.fileno(), 10000)
    held["mapped deleted file"][7000:7007] = b"deleted"
    os.makedirs("/tmp/cache/deep")
    with open("/tmp/cache/deep/file", "w") as file:
        file.write("cached")
    os.chmod("/tmp/cache/deep/file", 0o640)
    os.symlink("deep/file", "/tmp/cache/link")
    os.mkfifo("/tmp/cache/fifo")
    held["fifo"] = os.open("/tmp/cache/fifo", os.O_RDWR | os.O_NONBLOCK)
    os.write(held["fifo"], b"in the fifo")
    held["cached"] = open("/tmp/cache/deep/file")  # noqa: SIM115 - stays open
    os.mkfifo("/tmp/cache/ends")
    held["fifo reader"] = os.open("/tmp/cache/ends", os.O_RDONLY | os.O_NONBLOCK)
    held["fifo writer"] = os.open("/tmp/cache/ends", os.O_WRONLY | os.O_NONBLOCK)
    os.write(held["fifo writer"], b"once")
    held["log"] = open("/tmp/cache/log", "a+")  # noqa: SIM115 - stays open
    held["log"].write("before ")
    held["log"].flush()
    held["locked"] = open("/tmp/cache/deep/file", "r+")  # noqa: SIM115 - stays open
    fcntl.lockf(held["locked"], fcntl.LOCK_EX, 3, 1)
    held["open locked"] = open("/tmp/cache/deep/file", "r+")  # noqa: SIM115 - stays open
    fcntl.fcntl(held["open locked"], F_OFD_SETLK, _lock(10))
    with open("/tmp/cache/table", "wb") as file:
        file.write(b"a table".ljust(2 * 4096, b"-") + b"end")
    with open("/tmp/cache/table", "rb") as file:
        held["mapped table"] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    held["mapped table"][4096:4099] = b"own"
    native = next(path for path in sys.path if path.endswith("lib-dynload"))
    library = next(name for name in os.listdir(native) if name.startswith("_lsprof."))
    shutil.copy(f"{native}/{library}", "/tmp/cache/unpacked.so")
    held["unpacked library"] = ctypes.CDLL("/tmp/cache/unpacked.so")
    _wait()
    large = libc.mmap(None, SIZE, mmap.PROT_READ | mmap.PROT_WRITE, private, -1, 0)
    ctypes.memset(large, 3, SIZE)
    held["large"] = large


def equal(found: object, expected: object) -> None:
    """Says both when they differ."""
    if found != expected:
        raise AssertionError(f"{found!r}, not {expected!r}")


def _open_numbers() -> set[str]:
    here = os.open("/proc/self/fd", os.O_RDONLY)
    found = set(os.listdir(here)) - {str(here)}
    os.close(here)
    return found


def descriptors_have_their_numbers_and_no_other_is_open() -> None:
    equal(_open_numbers(), held["numbers"])


def epoll_lists_what_is_ready() -> None:
    reader, _ = held["pipe"]
    _, right = held["pair"]
    equal({fd for fd, _ in held["epoll"].poll(5)}, {reader, right.fileno()})


def epoll_copy_lists_the_same() -> None:
    equal(sorted(held["epoll copy"].poll(5)), sorted(held["epoll"].poll(5)))


def udp_sockets() -> None:
    bound = held["bound udp"]
    equal(bound.getsockname(), held["bound udp name"])
    equal(held["udp"].getsockname()[1], 0)
    equal(held["udp"].getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST), 1)
    equal(os.get_blocking(held["udp"].fileno()), False)
    held["udp"].sendto(b"hello", bound.getsockname())
    equal(bound.recv(100), b"hello")
    held["used udp"].sendto(b"again", bound.getsockname())
    equal(bound.recvfrom(100), (b"again", ("127.0.0.1", held["used udp"].getsockname()[1])))
    equal(held["udp6"].getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY), 1)


def tcp_socket_never_connected() -> None:
    sock = held["tcp"]
    equal(bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)), True)
    equal(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), 1)
    server = socket.create_server(("127.0.0.1", 0))
    sock.connect(server.getsockname())
    equal(server.accept()[0].getpeername(), sock.getsockname())


def threads_in_timed_waits() -> None:
    os.write(held["wake"], b"x")
    with held["condition"]:
        held["condition"].notify()
    equal({woken.get(timeout=10) for _ in range(4)}, {"sleep", "select", "condition", "timeout"})


def locks_of_ranges() -> None:
    def other(start: int) -> bool:
        """Whether a child finds bytes locked: it inherits no POSIX lock, and its opening has no OFD lock."""
        pid = os.fork()
        if pid == 0:
            try:
                with open("/tmp/cache/deep/file", "r+") as file:
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, start)
            except BlockingIOError:
                os._exit(1)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1

    equal(
        [other(start) for start in (0, 1, 3, 4, 9, 10, 11, 12)],
        [False, True, True, *[False] * 2, True, True, False],
    )


def open_directory() -> None:
    equal("bin" in os.listdir(held["directory"]), True)


def appended_file() -> None:
    held["log"].seek(0)
    held["log"].write("after")
    held["log"].seek(0)
    equal(held["log"].read(), "before after")


def pipe_with_unread_data() -> None:
    reader, writer = held["pipe"]
    equal(os.read(reader, 3), b"unr")
    equal(os.read(held["pipe copy"], 100), b"ead")
    os.write(writer, b"more")
    equal(os.read(reader, 100), b"more")


def empty_pipe_keeps_flags_and_size() -> None:
    reader, writer = held["empty pipe"]
    equal(os.get_blocking(reader), False)
    equal(fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ), 1 << 17)
    equal(os.get_inheritable(reader), True)


def eventfd_counter() -> None:
    equal(os.eventfd_read(held["event"]), 5)
    equal(os.get_blocking(held["event"]), False)


def socket_pair_stream() -> None:
    left, right = held["pair"]
    equal(right.recv(100), b"stream")
    right.sendall(b"back")
    equal(select.select([left], [], [], 5)[0], [left])
    equal(left.recv(100), b"back")
    equal(os.get_blocking(left.fileno()), False)


def socket_pair_datagrams() -> None:
    _, two = held["datagrams"]
    equal((two.recv(100), two.recv(100)), (b"first", b"second"))


def timer_descriptor_expires() -> None:
    equal(select.select([held["timerfd"]], [], [], 5)[0], [held["timerfd"]])


def signal_descriptor() -> None:
    os.kill(os.getpid(), signal.SIGUSR2) if signal.SIGUSR2 in signal.pthread_sigmask(0, []) else None
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    os.kill(os.getpid(), signal.SIGUSR2)
    equal(select.select([held["signalfd"]], [], [], 5)[0], [held["signalfd"]])
    equal(struct.unpack_from("I", os.read(held["signalfd"], 128))[0], signal.SIGUSR2)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def memory_file() -> None:
    equal(os.pread(held["memfd"], 100, 0), b"in memory")
    equal(os.lseek(held["memfd"], 0, os.SEEK_CUR), 9)


def unlinked_file() -> None:
    equal(held["unlinked"].read(), b"end")
    held["unlinked"].seek(0)
    equal(held["unlinked"].read(3), b"xxx")


def append_mode() -> None:
    equal(fcntl.fcntl(held["append"], fcntl.F_GETFL) & os.O_APPEND, os.O_APPEND)


def copies_share_a_position() -> None:
    equal(os.lseek(held["source copy"], 0, os.SEEK_CUR), os.lseek(held["source"].fileno(), 0, os.SEEK_CUR))
    os.lseek(held["source copy"], 10, os.SEEK_SET)
    equal(os.lseek(held["source"].fileno(), 0, os.SEEK_CUR), 10)


def close_on_exec() -> None:
    equal(os.get_inheritable(held["cloexec"]), False)
    equal(os.get_inheritable(held["source copy"]), True)


def lock_is_held() -> None:
    with open(__file__, "rb") as other:
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        raise AssertionError("the shared lock is gone")


def copy_of_standard_output() -> None:
    equal(os.fstat(held["stdout copy"]).st_ino, os.fstat(1).st_ino)


def interval_timer_runs() -> None:
    left, _ = signal.getitimer(signal.ITIMER_VIRTUAL)
    equal(3500 < left <= 3601, True)
    left, interval = signal.getitimer(signal.ITIMER_REAL)
    equal((3000 < left <= 3600, interval), (True, 60.0))
    equal(3500 < signal.getitimer(signal.ITIMER_PROF)[0] <= 3601, True)


def posix_timer_fires() -> None:
    deadline = time.monotonic() + 5
    while signal.SIGRTMIN not in fired and time.monotonic() < deadline:
        select.select([], [], [], 0.01)
    equal(signal.SIGRTMIN in fired, True)


def reserved_memory() -> None:
    equal(_permissions(held["reserved"]), "---p")


def executable_page() -> None:
    equal(_permissions(held["code"]), "r-xp")
    equal(ctypes.CFUNCTYPE(ctypes.c_int)(held["code"])(), 42)


def guard_page() -> None:
    equal(_permissions(held["guard"] + 4096), "---p")
    equal(ctypes.string_at(held["guard"], 2), b"\7\7")


def advice_survives() -> None:
    equal("dc" in _vm_flags(held["unforked"]), True)
    equal("wf" in _vm_flags(held["wiped"]), True)
    equal(ctypes.string_at(held["wiped"], 1), b"\t")


def shared_memory() -> None:
    equal(held["shared"][5000:5006], b"shared")
    pid = os.fork()
    if pid == 0:
        held["shared"][0:5] = b"child"
        os._exit(0)
    os.waitpid(pid, 0)
    equal(held["shared"][0:5], b"child")


def mapped_memory_file() -> None:
    equal(held["mapped memfd"][6000:6006], b"memory")
    held["mapped memfd"][0:3] = b"new"
    equal(os.pread(held["memfd again"], 3, 0), b"new")


def mapped_deleted_file() -> None:
    equal(held["mapped deleted file"][7000:7007], b"deleted")
    held["mapped deleted file"].flush()


def private_mappings_of_files_without_a_name() -> None:
    for name in ("private memfd", "private file"):
        equal(
            (held[name][:13], held[name][5000:5006], held[name][8192:8194]),
            (b"from the file", b"dirty.", b".."),
        )
        held[name][8192:8194] = b"ab"


def files_in_tmp() -> None:
    with open("/tmp/cache/link") as file:
        equal(file.read(), "cached")
    equal(os.stat("/tmp/cache/deep/file").st_mode & 0o777, 0o640)
    equal(held["cached"].read(), "cached")


def mapped_files_in_tmp() -> None:
    table = held["mapped table"]
    equal((table[:7], table[4096:4100], table[-3:]), (b"a table", b"own-", b"end"))
    start = held["unpacked library"].PyInit__lsprof
    equal(_permissions(ctypes.cast(start, ctypes.c_void_p).value or 0), "r-xp")


def fifo_with_unread_data() -> None:
    equal(os.read(held["fifo"], 100), b"in the fifo")
    equal(os.read(held["fifo reader"], 100), b"once")
    os.write(held["fifo writer"], b"more")
    equal(os.read(held["fifo reader"], 100), b"more")


def large_block() -> None:
    equal(ctypes.string_at(held["large"], SIZE), b"\3" * SIZE)


def _lines(path: str) -> list[str]:
    with open(path) as file:
        return file.read().splitlines()


def _permissions(address: int) -> str:
    for line in _lines("/proc/self/maps"):
        start, end = (int(word, 16) for word in line.split()[0].split("-"))
        if start <= address < end:
            return line.split()[1]
    return "unmapped"


def _vm_flags(address: int) -> list[str]:
    inside = False
    for line in _lines("/proc/self/smaps"):
        words = line.split()
        if "-" in words[0] and not words[0].endswith(":"):
            start, end = (int(word, 16) for word in words[0].split("-"))
            inside = start <= address < end
        elif inside and words[0] == "VmFlags:":
            return words[1:]
    return []


def check() -> Iterator[tuple[str, str | None]]:
    """Run every item in the order of this file."""
    helpers = {"hold", "check", "equal"}
    items: list[Callable[[], None]] = [
        value
        for name, value in globals().items()
        if callable(value)
        and getattr(value, "__module__", "") == __name__
        and name not in helpers
        and not name.startswith("_")
    ]
    for item in items:
        try:
            item()
        except BaseException as error:
            yield item.__name__, f"{type(error).__name__}: {error}"
        else:
            yield item.__name__, None
