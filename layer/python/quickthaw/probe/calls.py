"""What may be asked of the kernel here: each question does the thing, as harmlessly as it can be done."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import signal
import struct
import tempfile
from collections.abc import Iterator

from quickthaw.probe import kernel
from quickthaw.probe.finding import Finding, Question, ask

_PAGE = mmap.PAGESIZE
_HUGE = 2 << 20
_PTRACE_TRACEME = 0
_CLONE_NEWUSER = 0x10000000
_UFFD_USER_MODE_ONLY = 1  # Linux 5.11
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_MM, _PR_SET_MM_MAP, _PR_SET_MM_MAP_SIZE = 35, 14, 15
_MADV_HUGEPAGE, _MADV_POPULATE_WRITE = 14, 23
_MREMAP_MAYMOVE_FIXED = 3
_NO_FD = 0xFFFFFFFF
_AT_FDCWD = -100


def findings() -> Iterator[Finding]:
    """Every call, in the order of the table."""
    for name, question in QUESTIONS.items():
        yield ask(name, "calls", question)


def _ptrace() -> None:
    kernel.call("ptrace", _PTRACE_TRACEME, 0, 0, 0)


def _user_namespaces() -> None:
    uid = os.getuid()
    kernel.call("unshare", _CLONE_NEWUSER)
    # Lambda is said to refuse only this (aws-lambda-base-images issues 143 and 211).
    with open("/proc/self/uid_map", "w") as file:
        file.write(f"0 {uid} 1")


def _userfaultfd() -> str | None:
    try:
        kernel.call("userfaultfd", os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.EPERM:
            raise
        kernel.call("userfaultfd", os.O_CLOEXEC | _UFFD_USER_MODE_ONLY)
        return "for faults in user mode only"
    return None


def _clone3(*pids: int) -> None:
    """Forks by clone3, into a child with these pids (in this pid namespace and its parents)."""
    wanted = struct.pack(f"={len(pids) or 1}i", *(pids or (0,)))
    asked = ctypes.create_string_buffer(wanted, len(wanted))
    fields = [0] * 11  # struct clone_args, linux/sched.h
    fields[4] = signal.SIGCHLD
    if pids:
        fields[8], fields[9] = ctypes.addressof(asked), len(pids)
    arguments = struct.pack("=11Q", *fields)
    child = kernel.call("clone3", ctypes.create_string_buffer(arguments, len(arguments)), len(arguments))
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _clone3_fork() -> None:
    _clone3()


def _clone3_set_tid() -> None:
    for attempt in range(5):
        free = os.fork()
        if free == 0:
            os._exit(0)
        os.waitpid(free, 0)  # now that pid is nobody's
        try:
            return _clone3(free)
        except OSError as error:
            if error.errno != errno.EEXIST or attempt == 4:  # somebody else was given it
                raise


def _mm_map_size() -> None:
    size = ctypes.create_string_buffer(4)
    kernel.call("prctl", _PR_SET_MM, _PR_SET_MM_MAP_SIZE, size, 0, 0)


def _mm_map() -> None:
    """Sets the places of heap, stack, arguments and environment to what they are, as the restorer does."""
    _mm_map_size()
    with open("/proc/self/stat", "rb") as file:
        # proc(5) counts from 1 and begins with the pid; what follows the name begins with field 3.
        fields = [b"0"] * 3 + file.read().rpartition(b")")[2].split()
    with open("/proc/self/auxv", "rb") as file:
        words = file.read()
    auxv = ctypes.create_string_buffer(words, len(words))
    before = [int(fields[at]) for at in (26, 27, 45, 46, 47)]  # code, data, start of the heap
    after = [int(fields[at]) for at in (28, 48, 49, 50, 51)]  # stack, arguments, environment
    numbers = [*before, kernel.call("brk", 0), *after]
    order = struct.pack(
        "=11QQII", *numbers, ctypes.addressof(auxv), len(words), _NO_FD
    )  # struct prctl_mm_map; no new executable, so no privilege is needed
    kernel.call("prctl", _PR_SET_MM, _PR_SET_MM_MAP, ctypes.create_string_buffer(order, len(order)),
                len(order), 0)  # fmt: skip


def _memfd() -> None:
    with os.fdopen(os.memfd_create("probe"), "r+b") as file:
        file.write(bytes(_PAGE))
        file.flush()
        mmap.mmap(file.fileno(), _PAGE).close()


def _populate() -> None:
    memory = mmap.mmap(-1, 16 * _PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    kernel.call("madvise", _address(memory), len(memory), _MADV_POPULATE_WRITE)


def _huge_page() -> str | None:
    memory = mmap.mmap(-1, 2 * _HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    start = -(-_address(memory) // _HUGE) * _HUGE
    kernel.call("madvise", start, _HUGE, _MADV_HUGEPAGE)
    kernel.memset(start, 1, 1)
    with open("/proc/self/smaps_rollup") as file:
        huge = next(int(line.split()[1]) for line in file if line.startswith("AnonHugePages"))
    return None if huge else "taken, but no huge page came of it"


def _move_vdso() -> None:
    """Away and back again; nothing in between asks what time it is."""
    with open("/proc/self/maps") as file:
        line = next((line for line in file if line.rstrip().endswith("[vdso]")), None)
    if line is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "[vdso]")
    start, end = (int(word, 16) for word in line.split()[0].split("-"))
    size = end - start
    room = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    away = _address(room)
    kernel.call("mremap", start, size, size, _MREMAP_MAYMOVE_FIXED, away)
    kernel.call("mremap", away, size, size, _MREMAP_MAYMOVE_FIXED, start)


def _membarrier() -> None:
    kernel.call("membarrier", 0, 0, 0)


def _rseq() -> None:
    try:
        kernel.call("rseq", 0, 0, 0, 0)
    except OSError as error:
        if error.errno != errno.EINVAL:  # which is how the kernel refuses an area of no size
            raise


def _statx() -> None:
    path, found = ctypes.create_string_buffer(b"/"), ctypes.create_string_buffer(256)
    kernel.call("statx", _AT_FDCWD, path, 0, 0x7FF, found)


def _pidfd_open() -> None:
    kernel.call("pidfd_open", os.getpid(), 0)


def _kcmp() -> None:
    kernel.call("kcmp", os.getpid(), os.getpid(), 0, 0, 0)


def _process_vm_readv() -> None:
    source, target = ctypes.create_string_buffer(b"word", 4), ctypes.create_string_buffer(4)
    vectors = [
        ctypes.create_string_buffer(struct.pack("=QQ", ctypes.addressof(buffer), 4), 16)
        for buffer in (target, source)
    ]
    kernel.call("process_vm_readv", os.getpid(), vectors[0], 1, vectors[1], 1, 0)


def _io_uring() -> None:
    kernel.call("io_uring_setup", 1, ctypes.create_string_buffer(120))


def _lease() -> None:
    with tempfile.TemporaryFile(dir="/tmp") as file:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)


def _fallocate() -> None:
    with tempfile.TemporaryFile(dir="/tmp") as file:
        kernel.call("fallocate", file.fileno(), 0, 0, _PAGE)


def _nested_filter() -> None:
    """Loads a filter that allows everything."""
    kernel.call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    allow = ctypes.create_string_buffer(struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000), 8)  # BPF_RET
    program = struct.pack("=HxxxxxxQ", 1, ctypes.addressof(allow))
    kernel.call("prctl", _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER,
                ctypes.create_string_buffer(program, len(program)), 0, 0)  # fmt: skip


def _address(memory: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


QUESTIONS: dict[str, Question] = {
    "PR_SET_MM_MAP_SIZE": _mm_map_size,
    "PR_SET_MM_MAP": _mm_map,
    "mremap_vdso": _move_vdso,
    "MADV_POPULATE_WRITE": _populate,
    "MADV_HUGEPAGE": _huge_page,
    "memfd_create": _memfd,
    "membarrier": _membarrier,
    "rseq": _rseq,
    "F_SETLEASE": _lease,
    "ptrace": _ptrace,
    "clone3": _clone3_fork,
    "clone3_set_tid": _clone3_set_tid,
    "userfaultfd": _userfaultfd,
    "user_namespaces": _user_namespaces,
    "process_vm_readv": _process_vm_readv,
    "kcmp": _kcmp,
    "pidfd_open": _pidfd_open,
    "statx": _statx,
    "io_uring": _io_uring,
    "fallocate": _fallocate,
    "nested_seccomp": _nested_filter,
}
