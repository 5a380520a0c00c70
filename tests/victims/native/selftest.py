"""Does a thawed interpreter still work?  One item each, small enough to say what is broken."""

import asyncio
import concurrent.futures
import contextvars
import ctypes
import errno
import faulthandler
import gc
import json
import multiprocessing
import os
import queue
import random
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator

libc = ctypes.CDLL(None, use_errno=True)
libc.sbrk.restype = ctypes.c_void_p
libc.malloc.restype = ctypes.c_void_p
local = threading.local()
variable = contextvars.ContextVar("variable", default=0)
asked: "queue.Queue[int | None]" = queue.Queue()
answered: "queue.Queue[int]" = queue.Queue()
timed = threading.Event()
timed_out = threading.Event()
alarms: list[int] = []
before: dict[str, object] = {}
SINGLE = "VICTIM_SINGLE" in os.environ  # at the freeze: no threads but the main one
TIMES: list[tuple[float, float]] = []


def lines(path: str) -> list[str]:
    """A file of /proc."""
    with open(path) as file:
        return file.read().splitlines()


def command_line_bytes() -> bytes:
    """As the kernel has it."""
    with open("/proc/self/cmdline", "rb") as file:
        return file.read()


def hold() -> None:
    """State that must be the same after the thaw."""
    local.value = 42
    variable.set(43)
    random.seed(7)
    signal.signal(signal.SIGUSR1, lambda number, _frame: alarms.append(number))
    signal.signal(signal.SIGALRM, lambda number, _frame: alarms.append(number))
    if not SINGLE:
        threading.Thread(target=_double, daemon=True).start()
        threading.Thread(target=_wait, daemon=True).start()
    faulthandler.enable()  # has an alternate signal stack
    os.umask(0o027)
    before.update(
        cmdline=command_line_bytes(),
        cwd=os.getcwd(),
        state=random.getstate(),
        mask=signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2}),
        data=os.urandom(1 << 20),
    )
    before["stack end"] = _stack_end()
    TIMES.append((time.time(), time.monotonic()))
    before["crc"] = zlib.crc32(before["data"])  # type: ignore[arg-type]


def _double() -> None:
    while (number := asked.get()) is not None:
        answered.put(2 * number)


def _wait() -> None:
    if not timed.wait(timeout=0.2):
        timed_out.set()
    timed.wait()


def equal(found: object, expected: object) -> None:
    """Says both when they differ."""
    if found != expected:
        raise AssertionError(f"{found!r}, not {expected!r}")


def frozen_thread_answers() -> None:
    asked.put(21)
    equal(answered.get(timeout=10), 42)


def frozen_timed_wait_ends() -> None:
    equal(timed_out.wait(10), True)


def new_thread() -> None:
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(threading.get_native_id()))
    thread.start()
    thread.join(10)
    equal(len(seen) == 1 and seen[0] != os.getpid(), True)


def thread_pool() -> None:
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        equal(sum(pool.map(lambda number: number * number, range(100))), 328350)


def thread_ids_are_the_kernels() -> None:
    kernel = {int(name) for name in os.listdir("/proc/self/task")}
    equal(threading.get_native_id() in kernel, True)
    equal(libc.gettid(), threading.get_native_id())


def thread_local_values() -> None:
    equal((local.value, variable.get()), (42, 43))


def pthread_kill_reaches_main() -> None:
    alarms.clear()
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
    equal(alarms, [signal.SIGUSR1])


def raised_signal() -> None:
    alarms.clear()
    signal.raise_signal(signal.SIGUSR1)
    equal(alarms, [signal.SIGUSR1])


def interval_timer() -> None:
    alarms.clear()
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    signal.pause()
    signal.setitimer(signal.ITIMER_REAL, 0)
    equal(set(alarms), {signal.SIGALRM})


def signal_mask() -> None:
    equal(signal.SIGUSR2 in signal.pthread_sigmask(signal.SIG_BLOCK, []), True)


def default_action_kills_a_child() -> None:
    pid = os.fork()
    if pid == 0:
        os.kill(os.getpid(), signal.SIGTERM)
        os._exit(0)
    equal(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), -signal.SIGTERM)


def alternate_stack() -> None:
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        faulthandler._stack_overflow()  # type: ignore[attr-defined]
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    equal(code, -signal.SIGSEGV)


def fork() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(7)
    equal(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 7)


def multiprocessing_fork() -> None:
    # No Pool: it wants semaphores in /dev/shm, which Lambda does not have.
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=lambda: there.send(42))
    process.start()
    equal(here.poll(10) and here.recv(), 42)
    process.join(10)
    equal(process.exitcode, 0)


def subprocess_true() -> None:
    equal(subprocess.run(["/bin/true"]).returncode, 0)


def subprocess_interpreter() -> None:
    done = subprocess.run([sys.executable, "-c", "print(6*7)"], capture_output=True, text=True)
    equal((done.stdout, done.returncode), ("42\n", 0))


def shell() -> None:
    equal(subprocess.run("echo $((6*7))", shell=True, capture_output=True, text=True).stdout, "42\n")


def faulthandler_dump() -> None:
    with tempfile.TemporaryFile() as file:
        faulthandler.dump_traceback(file)
        file.seek(0)
        equal(b"faulthandler_dump" in file.read(), True)


def clocks() -> None:
    wall, monotonic = TIMES[0]
    for clock in (
        time.CLOCK_REALTIME,
        time.CLOCK_MONOTONIC,
        time.CLOCK_BOOTTIME,
        time.CLOCK_THREAD_CPUTIME_ID,
    ):
        first = time.clock_gettime_ns(clock)
        equal(time.clock_gettime_ns(clock) >= first, True)
    equal(time.time() >= wall and time.monotonic() >= monotonic, True)  # the same boot, in these tests
    kernel = ctypes.c_long()
    equal(abs(libc.time(ctypes.byref(kernel)) - time.time()) < 5, True)


def sleep_takes_its_time() -> None:
    began = time.monotonic()
    time.sleep(0.01)
    equal(time.monotonic() - began >= 0.01, True)


def cpu_number() -> None:
    equal(0 <= libc.sched_getcpu() < (os.cpu_count() or 1), True)


def restartable_sequences() -> None:
    """glibc's area is registered, or marked as refused; never left with the CPU of the freeze."""
    try:
        offset = ctypes.c_ssize_t.in_dll(libc, "__rseq_offset").value
    except ValueError:
        return  # before glibc 2.35
    libc.pthread_self.restype = ctypes.c_void_p
    area = libc.pthread_self() + offset  # x86-64: the thread's address is the thread pointer
    cpu = ctypes.c_int32.from_address(area + 4).value
    again = libc.syscall(334, ctypes.c_void_p(area), 32, 0, 0x53053053)
    refused = again == -1 and ctypes.get_errno() in (errno.EPERM, errno.ENOSYS)
    equal((cpu >= 0, again), (not refused, -1))  # a second registration is EBUSY, or EINVAL for another size


def random_state() -> None:
    equal(random.getstate() == before["state"], True)


def urandom() -> None:
    equal(os.urandom(16) != os.urandom(16), True)


def data_are_the_same() -> None:
    equal(zlib.crc32(before["data"]), before["crc"])  # type: ignore[arg-type]


def tls_context() -> None:
    context = ssl.create_default_context()
    equal(context.check_hostname, True)
    ssl.RAND_add(b"x" * 32, 32)
    equal(len(ssl.RAND_bytes(16)), 16)


def new_import_pure() -> None:
    import difflib

    equal(difflib.SequenceMatcher(None, "ab", "ab").ratio(), 1.0)


def new_import_native() -> None:
    import lzma
    import sqlite3

    equal(sqlite3.connect(":memory:").execute("select 6*7").fetchone(), (42,))
    equal(lzma.decompress(lzma.compress(b"x" * 1000)), b"x" * 1000)


def ctypes_call() -> None:
    equal(libc.getpid(), os.getpid())


def auxiliary_vector() -> None:
    libc.getauxval.restype = ctypes.c_ulong
    equal(libc.getauxval(6), 4096)  # AT_PAGESZ


def stack_grows() -> None:
    """Far below what was touched before the freeze: each level is Python, libffi and Python again."""

    def down(number: int) -> int:
        return callback(number - 1) + 1 if number else 0

    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(down)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20000)
    before_bytes = _stack_bytes()
    try:
        equal(callback(400), 400)
    finally:
        sys.setrecursionlimit(limit)
    equal(_stack_bytes() > before_bytes, True)


def _stack_bytes() -> int:
    """Size of the main stack, found by its end: its name needs PR_SET_MM_MAP."""
    for line in lines("/proc/self/maps"):
        start, end = (int(word, 16) for word in line.split()[0].split("-"))
        if end == before["stack end"]:
            return end - start
    return 0


def _stack_end() -> int:
    for line in lines("/proc/self/maps"):
        if line.endswith("[stack]"):
            return int(line.split()[0].split("-")[1], 16)
    return 0


def heap_grows() -> None:
    kept = [bytes(200) for _ in range(200_000)]
    equal(len(kept), 200_000)
    blocks = [libc.malloc(100_000) for _ in range(200)]
    equal(all(blocks), True)
    for block in blocks:
        ctypes.memset(block, 1, 100_000)
    for block in blocks:
        libc.free(ctypes.c_void_p(block))
    libc.malloc_trim(0)


def heap_grows_by_brk() -> None:
    """Where the kernel knows the heap; without PR_SET_MM_MAP glibc takes other memory."""
    if os.environ.get("VICTIM_NO_MM_MAP"):
        return
    end = libc.sbrk(0)
    blocks = [libc.malloc(100_000) for _ in range(400)]
    equal(libc.sbrk(0) - end >= 10_000_000, True)
    equal(min(abs(block - end) for block in blocks) < 1 << 20, True)
    for block in blocks:
        ctypes.memset(block, 1, 100_000)
        libc.free(ctypes.c_void_p(block))


def calloc_gives_zeros() -> None:
    """In a thread: its arena is a region where glibc relies on zeros after MADV_DONTNEED."""
    wrong: list[int] = []

    def work() -> None:
        libc.calloc.restype = ctypes.c_void_p
        for size in (64, 4096, 60_000, 100_000):
            for _ in range(50):
                block = libc.calloc(1, size)
                if ctypes.string_at(block, size).strip(b"\0"):
                    wrong.append(size)
                ctypes.memset(block, 0xFF, size)
                libc.free(ctypes.c_void_p(block))
        libc.malloc_trim(0)

    for _ in range(3):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    equal(wrong, [])


def garbage_collection() -> None:
    gc.collect()
    equal(gc.isenabled(), True)


def event_loop() -> None:
    async def main() -> int:
        await asyncio.sleep(0.001)
        return 42

    equal(asyncio.run(main()), 42)


def sockets() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(server.getsockname())
    peer, _ = server.accept()
    with server, client, peer:
        client.sendall(b"hello")
        equal(peer.recv(5), b"hello")


def temporary_files() -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"x")
        file.flush()
        equal(os.path.getsize(file.name), 1)


def command_line() -> None:
    if os.environ.get("VICTIM_NO_MM_MAP"):
        return
    equal(command_line_bytes(), before["cmdline"])


def executable() -> None:
    equal(os.path.exists(sys.executable), True)


def directory_and_umask() -> None:
    mask = os.umask(0)
    os.umask(mask)
    equal((os.getcwd(), mask), (before["cwd"], 0o027))


def environment() -> None:
    equal(os.environ["VICTIM_TEXT"], 'quote " backslash \\ tab \t end\x01')
    equal(os.fsencode(os.environ["VICTIM_BYTES"]), b"\xff\xfe\xc3\xa9")


def json_round_trip() -> None:
    equal(json.loads(json.dumps({"a": [1.5, None, "é"]})), {"a": [1.5, None, "é"]})


def check() -> Iterator[tuple[str, str | None]]:
    """Run every item; numbers only where NumPy was imported."""
    items: list[Callable[[], None]] = [
        value
        for name, value in globals().items()
        if callable(value)
        and getattr(value, "__module__", "") == __name__
        and not name.startswith("_")
        and name not in ("hold", "check", "equal", "lines", "command_line_bytes")
        and not (SINGLE and name.startswith("frozen_"))
        and not isinstance(value, type)
    ]
    for item in items:
        try:
            item()
        except BaseException as error:
            yield item.__name__, f"{type(error).__name__}: {error}"
        else:
            yield item.__name__, None
