"""What cannot be thawed natively is refused by name; what can is planned."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest
from quickthaw import names, plan
from quickthaw.criuimg import PageMap, Process, Thread
from quickthaw.criuimg import records as r
from quickthaw.plan import descriptors, layout

REGISTERS = {name: 0 for name in r.Registers.__dataclass_fields__ if name != "mode"}
FLOATS = dict.fromkeys(("cwd", "swd", "twd", "fop", "rip", "rdp", "mxcsr", "mxcsr_mask"), 0)
OPTIONS = r.SocketOptions(
    so_sndbuf=0, so_rcvbuf=0, so_snd_tmo_sec=0, so_snd_tmo_usec=0, so_rcv_tmo_sec=0, so_rcv_tmo_usec=0
)


def thread(tid: int = 300, **core: object) -> Thread:
    info = r.ThreadInfo(clear_tid_addr=0, gpregs=r.Registers(**REGISTERS), fpregs=r.FpState(**FLOATS))  # type: ignore[arg-type]
    return Thread(tid=tid, info=info, core=r.ThreadCore(futex_rla=0, futex_rla_len=0, **core))  # type: ignore[arg-type]


def directory(number: int) -> r.File:
    return r.File(type=r.FdType.REG, id=number, reg=r.RegFile(id=number, flags=0, pos=0, name="/"))


def process(*files: r.File, vmas: tuple[r.Vma, ...] = (), **more: object) -> Process:
    """A process that has these files open, at descriptors from 3 on."""
    mm = {
        name: 0
        for name in r.Mm.__dataclass_fields__
        if name.startswith(("start", "end", "brk", "arg", "env"))
    }
    known = {file.id: file for file in (*files, directory(1))}
    settings: dict[str, object] = {
        "directory": Path("/nowhere"),
        "inventory": r.Inventory(img_version=2),
        "tree": (r.Task(pid=300, ppid=0, pgid=300, sid=300, threads=(300,)),),
        "pid": 300,
        "task": r.TaskCore(task_state=1, personality=0, blk_sigset=0, comm="python"),
        "ids": r.KernelIds(vm_id=1, files_id=1, fs_id=1, sighand_id=1),
        "threads": (thread(),),
        "mm": r.Mm(**mm, exe_file_id=1, vmas=vmas),  # type: ignore[arg-type]
        "pagemap": PageMap(pages_id=1, runs=()),
        "files": known,
        "fds": tuple(
            r.Fd(id=file.id, flags=0, type=file.type, fd=number) for number, file in enumerate(files, 3)
        ),
        "fs": r.Fs(cwd_id=1, root_id=1),
        **more,
    }
    return Process(**settings)  # type: ignore[arg-type]


def inet(**fields: object) -> r.File:
    base = {
        "id": 7,
        "ino": 1,
        "family": 2,
        "type": int(socket.SOCK_STREAM),
        "proto": 6,
        "state": 7,
        "src_port": 0,
        "dst_port": 0,
        "flags": 2,
    }
    return r.File(type=r.FdType.INETSK, id=7, isk=r.InetSocket(**{**base, **fields}))  # type: ignore[arg-type]


def unix(number: int, ino: int, **fields: object) -> r.File:
    base = {
        "id": number,
        "ino": ino,
        "type": int(socket.SOCK_STREAM),
        "state": 1,
        "flags": 2,
        "uflags": 0,
        "backlog": 0,
        "peer": 0,
        "opts": OPTIONS,
        "name": b"",
    }
    return r.File(type=r.FdType.UNIXSK, id=number, usk=r.UnixSocket(**{**base, **fields}))  # type: ignore[arg-type]


def vma(status: int, **fields: object) -> r.Vma:
    base = {"start": 0x10000, "end": 0x20000, "pgoff": 0, "shmid": 9, "prot": 3, "flags": 0x22, "fd": -1}
    return r.Vma(**{**base, "status": status, **fields})  # type: ignore[arg-type]


def test_an_ordinary_process_is_not_refused() -> None:
    assert plan.refusals(process()) == []


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (inet(state=10, src_port=8080), "descriptor 3: a TCP socket listening on port 8080"),
        (inet(state=1, src_port=5000, dst_port=443), "descriptor 3: a TCP socket connected to port 443"),
        (inet(type=2, src_port=53), "descriptor 3: a UDP socket bound to port 53"),
        (unix(7, 5, state=10, name=b"/run/x"), "descriptor 3: a Unix socket listening on /run/x"),
        (unix(7, 5, name=b"\0abstract"), "descriptor 3: a Unix socket bound to @abstract"),
        (unix(7, 5, peer=99), "descriptor 3: a Unix socket connected to another process"),
        (r.File(type=r.FdType.INOTIFY, id=7), "descriptor 3: an inotify watch"),
        (r.File(type=r.FdType.TTY, id=7), "descriptor 3: a terminal"),
        (r.File(type=r.FdType.PIDFD, id=7), "descriptor 3: a pidfd"),
        (r.File(type=99, id=7), "descriptor 3: an open file of CRIU's type 99"),
        (
            r.File(type=r.FdType.PIPE, id=7, pipe=r.Pipe(id=7, pipe_id=77, flags=0)),
            "descriptor 3: a pipe whose other end is closed or in another process",
        ),
        (
            r.File(type=r.FdType.REG, id=7, reg=r.RegFile(id=7, flags=0, pos=0, name="/dev/kmsg")),
            "descriptor 3: the device /dev/kmsg",
        ),
    ],
)  # fmt: skip
def test_an_open_file_that_cannot_be_made_again_is_named(file: r.File, reason: str) -> None:
    assert plan.refusals(process(file)) == [reason]


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (vma(r.AREA_SYSVIPC), "System V shared memory"),
        (vma(r.AREA_AIORING), "a ring for asynchronous I/O"),
        (vma(r.AREA_SHSTK), "a shadow stack"),
        (vma(r.ANON_PRIVATE, flags=0x40022), "huge pages of hugetlbfs"),
        (vma(r.ANON_PRIVATE, end=0x8000_0000_0000), "above the 47-bit address space"),
        (vma(r.FILE_PRIVATE), "maps something that is no file"),
        (vma(r.FILE_SHARED, shmid=1), "maps / shared and writable"),
    ],
)
def test_memory_that_cannot_be_mapped_again_is_named(found: r.Vma, reason: str) -> None:
    reasons = plan.refusals(process(vmas=(found,)))
    assert len(reasons) == 1
    assert reason in reasons[0]


def test_children_are_named() -> None:
    tree = (r.Task(pid=300, ppid=0, pgid=1, sid=1), r.Task(pid=310, ppid=300, pgid=1, sid=1))
    assert plan.refusals(process(tree=tree)) == ["child process 310"]


def test_a_thread_in_a_state_that_no_frame_holds_is_named() -> None:
    compat = replace(thread(), info=replace(thread().info, gpregs=r.Registers(**REGISTERS, mode=2)))
    assert plan.refusals(process(threads=(compat,))) == ["thread 300 (python) runs 32-bit code"]
    queue = r.SignalQueue(signals=(r.QueuedSignal(siginfo=b""),))
    assert plan.refusals(process(threads=(thread(signals_p=queue),))) == [
        "thread 300 (python) has 1 pending signals"
    ]
    busy = r.RSeq(rseq_abi_pointer=1, rseq_abi_size=32, signature=1, rseq_cs_pointer=5)
    assert plan.refusals(process(threads=(thread(rseq_entry=busy),))) == [
        "thread 300 (python) was stopped in a restartable sequence"
    ]


def test_a_socket_pair_inside_the_process_is_planned() -> None:
    found = descriptors.of_process(process(unix(7, 5, peer=6), unix(8, 6, peer=5)))
    assert found.reasons == ()
    assert [item.kind for item in found.objects] == [layout.OBJECT_SOCKETPAIR, layout.OBJECT_HELD]
    assert found.fds == ((3, 0, False), (4, 1, False))


def test_an_unconnected_udp_socket_is_planned() -> None:
    found = descriptors.of_process(process(inet(type=2, proto=17)))
    assert found.reasons == ()
    assert (found.objects[0].kind, found.objects[0].a, found.objects[0].b) == (layout.OBJECT_SOCKET, 2, 2)


def test_standard_streams_and_our_own_descriptors_are_not_recreated() -> None:
    file = r.File(type=r.FdType.REG, id=7, reg=r.RegFile(id=7, flags=0, pos=0, name="/dev/null"))
    numbers = (0, 1, 2, names.THAW_FD, names.WOKE_FD, names.TELEMETRY_FD, 5)
    fds = tuple(r.Fd(id=7, flags=1, type=1, fd=number) for number in numbers)
    found = descriptors.of_process(process(file, fds=fds))
    assert found.fds == ((5, 0, True),)
    assert found.objects[0].kind == layout.OBJECT_INHERITED
    assert found.max_fd == names.TELEMETRY_FD
