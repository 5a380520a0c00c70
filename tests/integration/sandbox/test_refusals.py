"""The seccomp filter from the inside: each refusal is asked for, by number, with harmless arguments."""

from __future__ import annotations

import errno
import json
import platform
from collections.abc import Callable

import pytest
from quickthaw.sandbox.spec import DENIALS

pytestmark = pytest.mark.sandbox
Inside = Callable[..., tuple[int | None, str]]

# Numbers of x86-64 (asm/unistd_64.h); every call fails with another errno where nothing filters it.
X86_64 = {
    "ptrace": 101, "unshare": 272, "setns": 308, "mount": 165, "umount2": 166, "pivot_root": 155, "kcmp": 312,
    "process_vm_readv": 310, "process_vm_writev": 311, "userfaultfd": 323, "bpf": 321, "perf_event_open": 298,
    "io_uring_setup": 425, "keyctl": 250, "name_to_handle_at": 303, "open_by_handle_at": 304, "shmat": 30,
    "seccomp": 317, "fallocate": 285, "init_module": 175, "process_madvise": 440, "memfd_secret": 447,
}  # fmt: skip
FALL_BACK = {
    "clone3": 435,
    "statx": 332,
    "rseq": 334,
    "membarrier": 324,
    "pidfd_open": 434,
    "close_range": 436,
}

CALLS = """
import ctypes, json, os
os.dup2(os.open("/tmp/own", os.O_CREAT | os.O_RDWR), 10)
libc = ctypes.CDLL(None, use_errno=True)
def ask(number, *arguments):
    ctypes.set_errno(0)
    words = [ctypes.c_ulong(word) for word in arguments]
    result = libc.syscall(ctypes.c_long(number), *words)
    return ctypes.get_errno() if result == -1 else 0
"""


@pytest.fixture
def errnos(inside: Inside) -> Callable[[dict[str, tuple[int, ...]]], dict[str, int]]:
    """Make calls inside and return the errno of each."""
    if platform.machine() != "x86_64":
        pytest.skip("system call numbers of x86-64")

    def ask(calls: dict[str, tuple[int, ...]], **spec: object) -> dict[str, int]:
        code, output = inside(
            f"{CALLS}\nprint(json.dumps({{name: ask(*call) for name, call in {calls!r}.items()}}))", **spec
        )
        assert code == 0, output
        found: dict[str, int] = json.loads(output)
        return found

    return ask


def test_privileged_and_unusual_calls_give_eperm(errnos: Callable[..., dict[str, int]]) -> None:
    bad = (1 << 64) - 1
    found = errnos({name: (number, bad, bad, bad, bad, bad) for name, number in X86_64.items()})
    assert found == dict.fromkeys(X86_64, errno.EPERM)


def test_calls_that_libc_can_do_without_give_enosys(errnos: Callable[..., dict[str, int]]) -> None:
    bad = (1 << 64) - 1
    found = errnos({name: (number, bad, bad, bad, bad, bad) for name, number in FALL_BACK.items()})
    assert found == dict.fromkeys(FALL_BACK, errno.ENOSYS)


def test_clone_makes_no_namespace(errnos: Callable[..., dict[str, int]]) -> None:
    flags = {"cgroup": 0x02000000, "uts": 0x04000000, "ipc": 0x08000000, "user": 0x10000000,
             "pid": 0x20000000, "net": 0x40000000, "mount": 0x00020000}  # fmt: skip
    # CLONE_THREAD without CLONE_SIGHAND would be EINVAL, should the filter let it pass.
    found = errnos({name: (56, flag | 0x00010000, 0, 0, 0, 0) for name, flag in flags.items()})
    assert found == dict.fromkeys(flags, errno.EPERM)


def test_a_second_filter_cannot_be_loaded(errnos: Callable[..., dict[str, int]]) -> None:
    assert errnos({"prctl": (157, 22, 2, 0)}) == {"prctl": errno.EPERM}


def test_foreign_system_call_tables_are_refused_and_do_not_kill(
    errnos: Callable[..., dict[str, int]],
) -> None:
    assert errnos({"x32 getpid": (0x40000000 + 39,)}) == {"x32 getpid": errno.EPERM}


SWITCHES = {
    # what fails with the switch, and with which errno; without the switch it must not fail like this
    "mm_map": ((157, 35, 0, 0, 0, 0), errno.EPERM),
    "madv_populate": ((28, 0x1000, 4096, 23), errno.EINVAL),
    "madv_hugepage": ((28, 0x1000, 4096, 14), errno.EINVAL),
    "memfd": ((319, 0, 0), errno.EPERM),
    "mremap_vdso": ((25, 0x1000, 4096, 4096, 3, 0x2000), errno.EPERM),
    "lease": ((72, 0, 1024, 0), errno.EACCES),
}


def test_every_switch_has_a_test() -> None:
    assert set(SWITCHES) == DENIALS


@pytest.mark.parametrize("kind", ["lambda", "criu"])
@pytest.mark.parametrize("switch", sorted(SWITCHES))
def test_a_switch_denies_the_one_thing_it_names(
    errnos: Callable[..., dict[str, int]], switch: str, kind: str
) -> None:
    call, refused = SWITCHES[switch]
    if switch == "mm_map":
        # Even unfiltered, a single PR_SET_MM needs CAP_SYS_RESOURCE; its map form with a bad size does not.
        call = (157, 35, 14, 1, 1, 0)
    if switch in ("madv_populate", "madv_hugepage"):
        # Of an address that is not mapped the kernel says ENOMEM, unless the advice is refused before.
        call = (call[0], 0x10000, *call[2:])
    if switch == "lease":
        call = (72, 10, 1024, 2)  # F_UNLCK on a descriptor without a lease: EAGAIN
    assert errnos({switch: call}, deny=frozenset({switch}), kind=kind) == {switch: refused}
    assert errnos({switch: call}, kind=kind)[switch] != refused


def test_python_keeps_working_under_the_filter(inside: Inside) -> None:
    code = """
import asyncio, concurrent.futures, os, signal, socket, sqlite3, ssl, subprocess, sys, tempfile, threading
import time
assert subprocess.run(["/bin/sh", "-c", "id -u"], capture_output=True).stdout == b"993\\n"
assert subprocess.check_output([sys.executable, "-c", "print(1)"]) == b"1\\n"
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    assert sum(pool.map(lambda number: number * number, range(50))) == 40425
pid = os.fork()
if pid == 0:
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
async def main():
    process = await asyncio.create_subprocess_exec("/bin/true")
    return await process.wait()
assert asyncio.run(main()) == 0
with tempfile.TemporaryDirectory() as directory:
    with sqlite3.connect(directory + "/db") as db:
        db.execute("create table t (n)")
ssl.create_default_context()
assert socket.getaddrinfo("localhost", 80)
rang = threading.Event()
signal.signal(signal.SIGALRM, lambda *_: rang.set())
signal.setitimer(signal.ITIMER_REAL, 0.01)
assert rang.wait(5)
os.listdir("/usr/lib"); os.stat("/tmp"); os.access("/tmp", os.W_OK); time.sleep(0.001)
print("all fine")
"""
    assert inside(code) == (0, "all fine\n")
