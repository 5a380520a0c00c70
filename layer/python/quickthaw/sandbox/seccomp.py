"""The seccomp filter: what a function on Lambda may ask the kernel.

An allow-list.  AWS publishes no list; ours is a subset of the profile that
CRaC's example-lambda ran under docker to stand in for Lambda (a test holds us
to that), less what users report as refused on Lambda itself: fallocate gives
EPERM (realm-js#2182), and a nested filter cannot be installed.  Anything not
named gives EPERM, but for the few calls where a C library falls back only on
ENOSYS.

Built with libseccomp on the build side, handed into the sandbox as BPF
instructions, loaded there as the last step but one: no library is needed
inside, and the interpreter's start is not filtered.

Refusals that look at arguments, and the switches for tests, live in a second
filter with default "allow".  The kernel asks both and the stricter answer
wins; in one filter libseccomp would merge a narrow refusal into the broad
permission.
"""

from __future__ import annotations

import errno
import functools
import tempfile
from collections.abc import Iterable
from typing import Any

from quickthaw.errors import Unavailable

ALLOWED: dict[str, str] = {
    "files": """open openat creat close read write readv writev pread64 pwrite64 preadv pwritev
        lseek dup dup2 dup3 fcntl flock fsync fdatasync sync syncfs sync_file_range truncate
        ftruncate fadvise64 readahead copy_file_range sendfile splice tee vmsplice pipe pipe2 ioctl
        umask""",
    "names": """access faccessat stat fstat lstat newfstatat statfs fstatfs readlink readlinkat
        getdents getdents64 getcwd chdir fchdir mkdir mkdirat rmdir rename renameat renameat2 link
        linkat symlink symlinkat unlink unlinkat mknod mknodat chmod fchmod fchmodat chown fchown
        lchown fchownat utime utimes futimesat utimensat getxattr lgetxattr fgetxattr setxattr
        lsetxattr fsetxattr listxattr llistxattr flistxattr removexattr lremovexattr fremovexattr
        inotify_init inotify_init1 inotify_add_watch inotify_rm_watch""",
    "memory": """brk mmap munmap mprotect mremap madvise mincore msync munlock munlockall
        memfd_create remap_file_pages""",
    "processes": """clone fork vfork execve execveat exit exit_group wait4 waitid kill tkill tgkill
        getpid getppid gettid getpgid setpgid getpgrp getsid setsid getpriority setpriority prctl
        arch_prctl set_tid_address set_robust_list get_robust_list futex restart_syscall uname
        sysinfo getrusage times getrlimit setrlimit prlimit64 getrandom""",
    "users": """getuid geteuid getgid getegid getresuid getresgid getgroups setuid setgid setreuid
        setregid setresuid setresgid setfsuid setfsgid setgroups capget capset""",
    "scheduling": """sched_yield sched_getaffinity sched_setaffinity sched_getparam sched_setparam
        sched_getscheduler sched_setscheduler sched_get_priority_max sched_get_priority_min
        sched_rr_get_interval sched_getattr sched_setattr getcpu ioprio_get ioprio_set""",
    "signals": """rt_sigaction rt_sigprocmask rt_sigpending rt_sigreturn rt_sigsuspend
        rt_sigtimedwait rt_sigqueueinfo rt_tgsigqueueinfo sigaltstack signalfd signalfd4 pause alarm""",
    "time": """time gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep getitimer
        setitimer timer_create timer_settime timer_gettime timer_getoverrun timer_delete
        timerfd_create timerfd_settime timerfd_gettime""",
    "waiting": """select pselect6 poll ppoll epoll_create epoll_create1 epoll_ctl epoll_wait
        epoll_pwait eventfd eventfd2 io_setup io_destroy io_submit io_cancel io_getevents""",
    "sockets": """socket socketpair bind listen accept accept4 connect shutdown getsockname
        getpeername getsockopt setsockopt sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg""",
    "queues": """mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr msgget
        msgctl msgsnd msgrcv semget semctl semop semtimedop""",
}

# personality: only what asks or sets the plain Linux one (the model's three values).
PERSONALITIES = (0x0, 0x8, 0xFFFFFFFF)

# Refused with ENOSYS: newer than the model, and libc or Python fall back on "no such call" only.
FALL_BACK = (
    "clone3", "statx", "faccessat2", "openat2", "close_range", "preadv2", "pwritev2", "epoll_pwait2",
    "fchmodat2", "futex_waitv", "pidfd_open", "pidfd_send_signal", "mlock2", "rseq", "membarrier",
)  # fmt: skip

# New namespaces are refused: cgroup, uts, ipc, user, pid, net, mount (linux/sched.h).
CLONE_NAMESPACES = (0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000, 0x00020000)

_PR_SET_SECCOMP = 22
_PR_SET_MM = 35
_F_SETLEASE = 1024
_MREMAP_MAYMOVE_FIXED = 3
_MADV_HUGEPAGE = 14
_MADV_POPULATE = (22, 23)


def allowed_names() -> frozenset[str]:
    """Every system call that may be used, whatever its arguments."""
    return frozenset(name for names in ALLOWED.values() for name in names.split())


def filters(*, allow_list: bool, deny: Iterable[str] = ()) -> list[bytes]:
    """The filters as BPF instructions, in the order in which they must be loaded.

    Args:
        allow_list: False for the switches alone (kind "criu").
        deny: Names out of `spec.DENIALS`.

    Raises:
        Unavailable: libseccomp or its binding is missing.
    """
    return list(_filters(allow_list, frozenset(deny)))


@functools.lru_cache(maxsize=64)  # 4 ms each, and a bench starts hundreds
def _filters(allow_list: bool, deny: frozenset[str]) -> tuple[bytes, ...]:
    try:
        import pyseccomp  # deferred: it loads libseccomp.so.2, which only the sandbox needs
    except (ImportError, RuntimeError, OSError) as error:
        raise Unavailable(
            f"libseccomp cannot be used: {error}",
            hint="apt-get install libseccomp2, and `make setup` for its binding",
        ) from error
    built = []
    if allow_list:
        rules: list[tuple[Any, ...]] = [(pyseccomp.ALLOW, name) for name in sorted(allowed_names())]
        rules += [
            (pyseccomp.ALLOW, "personality", pyseccomp.Arg(0, pyseccomp.EQ, value)) for value in PERSONALITIES
        ]
        rules += [(pyseccomp.ERRNO(errno.ENOSYS), name) for name in FALL_BACK]
        built.append(_bpf(pyseccomp, pyseccomp.ERRNO(errno.EPERM), rules))
    refusals = _refusals(pyseccomp, deny, final=allow_list)
    if refusals:
        built.append(_bpf(pyseccomp, pyseccomp.ALLOW, refusals))
    return tuple(built)


def _refusals(pyseccomp: Any, deny: frozenset[str], *, final: bool) -> list[tuple[Any, ...]]:
    def refuse(number: int, name: str, argument: int, value: int) -> tuple[Any, ...]:
        return (pyseccomp.ERRNO(number), name, pyseccomp.Arg(argument, pyseccomp.EQ, value))

    rules: list[tuple[Any, ...]] = []
    if final:
        # Only in the filter that is loaded last, or the rest could not be loaded.
        rules.append(refuse(errno.EPERM, "prctl", 0, _PR_SET_SECCOMP))
        for flag in CLONE_NAMESPACES:
            rules.append(
                (pyseccomp.ERRNO(errno.EPERM), "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, flag, flag))
            )
    if "mm_map" in deny:
        rules.append(refuse(errno.EPERM, "prctl", 0, _PR_SET_MM))
    if "madv_populate" in deny:
        rules += [refuse(errno.EINVAL, "madvise", 2, advice) for advice in _MADV_POPULATE]
    if "madv_hugepage" in deny:
        rules.append(refuse(errno.EINVAL, "madvise", 2, _MADV_HUGEPAGE))
    if "memfd" in deny:
        rules.append((pyseccomp.ERRNO(errno.EPERM), "memfd_create"))
    if "mremap_vdso" in deny:
        rules.append(refuse(errno.EPERM, "mremap", 3, _MREMAP_MAYMOVE_FIXED))
    if "lease" in deny:
        rules.append(refuse(errno.EACCES, "fcntl", 1, _F_SETLEASE))
    return rules


def _bpf(pyseccomp: Any, default: int, rules: Iterable[tuple[Any, ...]]) -> bytes:
    known = pyseccomp.SyscallFilter(default)
    # int 0x80 and x32: refused, not killed.
    known.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.ERRNO(errno.EPERM))
    for action, name, *arguments in rules:
        # A name that this architecture or this libseccomp does not know needs no rule: the default holds.
        if pyseccomp.resolve_syscall(pyseccomp.system_arch(), name) >= 0:
            known.add_rule(action, name, *arguments)
    with tempfile.TemporaryFile() as file:
        known.export_bpf(file)
        file.seek(0)
        return file.read()
