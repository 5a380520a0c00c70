"""The last step into the sandbox: become the function's process, then exec it.

Run by the sandbox's own interpreter as ``python -I -S enter.py FD``, where FD
holds the order, a JSON object written by `process`.  Standard library only,
no import of this package: inside, the package does not exist.

Talks over a SEQPACKET socket, whose other end learns our host pid from the
credentials that the kernel attaches to each message:
    -> "ready"              everything that needs a privilege is about to be given up
    <- anything             (meanwhile the host has put us into control groups)
    -> "started SECONDS"    CLOCK_MONOTONIC right before the exec
    end of file             the exec happened; or -> "failed TEXT" and exit code 127

Every descriptor of the function is opened in here or passed on purpose: CRIU
cannot dump one that was opened in another mount namespace.
"""

import base64
import ctypes
import fcntl
import json
import os
import resource
import signal
import sys
import time

_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_DROP = 24
_PR_SET_KEEPCAPS = 8
_PR_SET_SECCOMP = 22
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION_3 = 0x20080522
_SAFE_FD = 600  # passed descriptors are parked from here on while they are moved

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def _prctl(option: int, *arguments: int, what: str) -> int:
    # Every argument as unsigned long: prctl is variadic and some options insist on zeros.
    words = [ctypes.c_ulong(word) for word in (*arguments, 0, 0, 0, 0)[:4]]
    return _check(_libc.prctl(ctypes.c_int(option), *words), what)


def burn_pids(floor: int) -> None:
    """Use up the pids of this namespace until the last one given is `floor`.

    Children that fail to exec are the cheapest way (vfork, no copy of page
    tables); /proc/sys is read-only in here, and clone3(set_tid) would not
    move the cursor from which threads get theirs.
    """
    while True:
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        if child >= floor:
            return
        for _ in range(floor - child - 1):
            try:
                os.posix_spawn("/nonexistent", ["-"], {})
            except OSError:
                continue


def part_from_parent() -> None:
    """Continue in a child; the parent only waits for it and passes its end on.

    Pid 2 must not end before the function: the sandbox ends with it.
    """
    child = os.fork()
    if child == 0:
        return
    os.closerange(0, 4096)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, status = os.waitpid(child, 0)
    os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))


def supervise(parent: int) -> None:
    """Kind "none": without a pid namespace, a parent that takes all descendants along when it ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1, what="PR_SET_CHILD_SUBREAPER")
    # Blocked, so that the signal of a parent that dies early is waited for below and not lost.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD, signal.SIGINT})
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, what="PR_SET_PDEATHSIG")
    if os.getppid() != parent:
        os._exit(1)
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        return
    os.closerange(0, 4096)
    code = None
    while code is None:
        if signal.sigwait({signal.SIGTERM, signal.SIGCHLD}) == signal.SIGTERM:
            code = 128 + signal.SIGKILL
        else:
            code = _reap(child, os.WNOHANG)
    # Until nobody is left: a child that forks while we kill shows up in the next round.
    while True:
        for pid in _children():
            os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            os._exit(code)


def _reap(child: int, options: int) -> int | None:
    code: int | None = None
    while True:
        try:
            pid, status = os.waitpid(-1, options)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if pid == child:
            code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _children() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return [int(pid) for pid in file.read().split()]


def become(uid: int, gid: int, keep: list[int] | str, drop_bounding: bool) -> None:
    """Change the user, keep the capabilities of the list `keep` (ambient), or all for "all"."""
    with open("/proc/sys/kernel/cap_last_cap") as file:
        last = int(file.read())
    with open("/proc/self/status") as file:
        permitted = next(int(line.split()[1], 16) for line in file if line.startswith("CapPrm"))
    held = [cap for cap in range(last + 1) if permitted >> cap & 1]
    caps = held if isinstance(keep, str) else keep
    missing = sorted(set(caps) - set(held))
    if missing:
        raise PermissionError(f"capabilities {missing} are asked for, but not ours to keep")
    mask = sum(1 << cap for cap in caps)
    # Inheritable first: the kernel takes nothing into that set that has left the bounding set.
    _capset(permitted, permitted, mask)
    if drop_bounding:
        for cap in range(last + 1):
            _prctl(_PR_CAPBSET_DROP, cap, what=f"PR_CAPBSET_DROP {cap}")
    _prctl(_PR_SET_KEEPCAPS, 1, what="PR_SET_KEEPCAPS")
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    _capset(mask, mask, mask)
    for cap in caps:
        _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, cap, what=f"PR_CAP_AMBIENT_RAISE {cap}")


def _capset(*masks: int) -> None:
    """Effective, permitted, inheritable."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    words = [mask & 0xFFFFFFFF for mask in masks] + [mask >> 32 for mask in masks]
    _check(_libc.capset(header, (ctypes.c_uint32 * 6)(*words)), "capset")


def arrange_descriptors(wanted: dict[int, int], report: int | None) -> int | None:
    """Give each descriptor its inner number, close all others; returns the report socket's new one."""
    parked = {inner: fcntl.fcntl(fd, fcntl.F_DUPFD, _SAFE_FD) for inner, fd in wanted.items()}
    last = 1 + max(_SAFE_FD, *wanted, *parked.values())
    if report is not None:
        report = fcntl.fcntl(report, fcntl.F_DUPFD_CLOEXEC, last)
    for inner, fd in parked.items():
        os.dup2(fd, inner)  # inheritable
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    kept = sorted({0, *wanted} if report is None else {0, *wanted, report})
    for before, after in zip(kept, [*kept[1:], 1 << 16], strict=True):
        os.closerange(before + 1, after)
    return report


def load_filter(program: bytes) -> None:
    """Load one seccomp filter, given as BPF instructions of 8 bytes each."""
    code = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    described = Program(len(program) // 8, ctypes.addressof(code))
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(described), what="PR_SET_SECCOMP")


def main() -> None:
    with open(int(sys.argv[1])) as file:
        file.seek(0)
        order = json.load(file)
    report = order["report"]
    try:
        if order["supervised"]:
            supervise(order["parent"])
        if order["pid_floor"]:
            burn_pids(order["pid_floor"])
            part_from_parent()
        if order["new_session"]:
            os.setsid()
        if report is not None:
            os.write(report, b"ready")
            if not os.read(report, 16):
                os._exit(1)  # the host is gone
        if order["limits"]:
            for name, value in order["limits"].items():
                resource.setrlimit(getattr(resource, name), (value, value))
        os.umask(0o022)
        report = arrange_descriptors({int(inner): fd for inner, fd in order["fds"].items()}, report)
        if order["uid"] is not None:
            become(order["uid"], order["gid"], order["caps"], order["drop_bounding"])
        if order["no_new_privs"]:
            _prctl(_PR_SET_NO_NEW_PRIVS, 1, what="PR_SET_NO_NEW_PRIVS")
        if order["die_with_parent"]:
            # Only now: a change of user clears it.
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, what="PR_SET_PDEATHSIG")
        os.chdir(order["cwd"])
        filters = [base64.b64decode(text) for text in order["filters"]]
        environ = {}
        for item in order["environ"]:
            name, _, value = item.partition("=")
            environ[os.fsencode(name)] = os.fsencode(value)
        argv = [os.fsencode(word) for word in order["argv"]]
        # Python ignores these two; an exec would hand the disposition on.
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        for program in filters:
            load_filter(program)
        if report is not None:
            os.write(report, b"started %.9f" % time.monotonic())
        os.execvpe(argv[0], argv, environ)
    except BaseException as error:  # to whoever started us, as text: there is no log yet
        text = f"failed {type(error).__name__}: {error}"
        if report is not None:
            os.write(report, text.encode(errors="replace")[:4000])
        else:
            os.write(2, text.encode(errors="replace") + b"\n")
        os._exit(127)


if __name__ == "__main__":
    main()
