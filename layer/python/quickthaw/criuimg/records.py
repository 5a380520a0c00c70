"""One frozen record per CRIU image message that quickthaw reads, with its field numbers.

The numbers are facts of CRIU's on-disk format, read from the message
definitions of CRIU 4.1 (``images/*.proto``, GPL-2.0, not copied here).  Only
the fields that a planner or ``inspect`` needs are named; `wire.decode` skips
the rest.  Addresses and sizes are bytes unless a comment says otherwise.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from quickthaw.criuimg.wire import blob, fixed64s, flag, int64, message, messages, sint, text, uint, uints


class FdType(enum.IntEnum):
    """Kind of an open file (fdinfo.proto, ``fd_types``)."""

    UND = 0
    REG = 1
    PIPE = 2
    FIFO = 3
    INETSK = 4
    UNIXSK = 5
    EVENTFD = 6
    EVENTPOLL = 7
    INOTIFY = 8
    SIGNALFD = 9
    PACKETSK = 10
    TTY = 11
    FANOTIFY = 12
    NETLINKSK = 13
    NS = 14
    TUNF = 15
    EXT = 16
    TIMERFD = 17
    MEMFD = 18
    BPFMAP = 19
    PIDFD = 20


# Bits of Vma.status (criu/include/image.h).
AREA_STACK: Final = 1 << 1
AREA_VSYSCALL: Final = 1 << 2
AREA_VDSO: Final = 1 << 3
AREA_HEAP: Final = 1 << 5
FILE_PRIVATE: Final = 1 << 6
FILE_SHARED: Final = 1 << 7
ANON_SHARED: Final = 1 << 8
ANON_PRIVATE: Final = 1 << 9
AREA_SYSVIPC: Final = 1 << 10
AREA_SOCKET: Final = 1 << 11
AREA_VVAR: Final = 1 << 12
AREA_AIORING: Final = 1 << 13
AREA_MEMFD: Final = 1 << 14
AREA_SHSTK: Final = 1 << 15
AREA_GUARD: Final = 1 << 16

# Bits of PageRun.flags (criu/include/pagemap.h).
PAGE_IN_PARENT: Final = 1 << 0
PAGE_LAZY: Final = 1 << 1
PAGE_PRESENT: Final = 1 << 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Inventory:
    """inventory.img: what made the images."""

    img_version: int = uint(1)
    dump_uptime: int | None = uint(8, default=None)  # microseconds since boot


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One entry of pstree.img."""

    pid: int = uint(1)
    ppid: int = uint(2)
    pgid: int = uint(3)
    sid: int = uint(4)
    threads: tuple[int, ...] = uints(5)


@dataclass(frozen=True, kw_only=True, slots=True)
class Registers:
    """General registers of a thread (core-x86.proto)."""

    r15: int = uint(1)
    r14: int = uint(2)
    r13: int = uint(3)
    r12: int = uint(4)
    bp: int = uint(5)
    bx: int = uint(6)
    r11: int = uint(7)
    r10: int = uint(8)
    r9: int = uint(9)
    r8: int = uint(10)
    ax: int = uint(11)
    cx: int = uint(12)
    dx: int = uint(13)
    si: int = uint(14)
    di: int = uint(15)
    orig_ax: int = uint(16)
    ip: int = uint(17)
    cs: int = uint(18)
    flags: int = uint(19)
    sp: int = uint(20)
    ss: int = uint(21)
    fs_base: int = uint(22)
    gs_base: int = uint(23)
    mode: int = uint(28, default=1)  # 1 native, 2 compat (32 bit)


@dataclass(frozen=True, kw_only=True, slots=True)
class ShadowStack:
    """Control-flow enforcement state; `cet` 0 where it is off."""

    cet: int = uint(1)
    ssp: int = uint(2)


@dataclass(frozen=True, kw_only=True, slots=True)
class XSave:
    """Extended state; only what tells whether the frozen thread needs it back."""

    xstate_bv: int = uint(1)
    ymmh_space: tuple[int, ...] = uints(2)
    opmask_reg: tuple[int, ...] = uints(5)
    zmm_upper: tuple[int, ...] = uints(6)
    hi16_zmm: tuple[int, ...] = uints(7)
    pkru: tuple[int, ...] = uints(8)
    cet: ShadowStack | None = message(9, ShadowStack, default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class FpState:
    """Legacy FXSAVE state of a thread."""

    cwd: int = uint(1)
    swd: int = uint(2)
    twd: int = uint(3)
    fop: int = uint(4)
    rip: int = uint(5)
    rdp: int = uint(6)
    mxcsr: int = uint(7)
    mxcsr_mask: int = uint(8)
    st_space: tuple[int, ...] = uints(9)
    xmm_space: tuple[int, ...] = uints(10)
    xsave: XSave | None = message(13, XSave, default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class TlsDescriptor:
    """A segment of the thread's TLS array (32-bit leftovers; a native thread has none)."""

    entry_number: int = uint(1)
    base_addr: int = uint(2)
    seg_not_present: bool = flag(9, default=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class ThreadInfo:
    """CPU state of a thread."""

    clear_tid_addr: int = uint(1)
    gpregs: Registers = message(2, Registers)
    fpregs: FpState = message(3, FpState)
    tls: tuple[TlsDescriptor, ...] = messages(4, TlsDescriptor)


@dataclass(frozen=True, kw_only=True, slots=True)
class ITimer:
    """An interval timer: interval and time left, microsecond resolution."""

    isec: int = uint(1)
    iusec: int = uint(2)
    vsec: int = uint(3)
    vusec: int = uint(4)


@dataclass(frozen=True, kw_only=True, slots=True)
class PosixTimer:
    """A timer_create() timer: interval and time left, nanosecond resolution."""

    it_id: int = uint(1)
    clock_id: int = uint(2)
    si_signo: int = uint(3)
    it_sigev_notify: int = uint(4)
    sival_ptr: int = uint(5)
    overrun: int = uint(6)
    isec: int = uint(7)
    insec: int = uint(8)
    vsec: int = uint(9)
    vnsec: int = uint(10)
    notify_thread_id: int | None = int64(11, default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Timers:
    """All timers of the process."""

    real: ITimer = message(1, ITimer)
    virt: ITimer = message(2, ITimer)
    prof: ITimer = message(3, ITimer)
    posix: tuple[PosixTimer, ...] = messages(4, PosixTimer)


@dataclass(frozen=True, kw_only=True, slots=True)
class SigAction:
    """One signal's action, in kernel form."""

    sigaction: int = uint(1)
    flags: int = uint(2)
    restorer: int = uint(3)
    mask: int = uint(4)


@dataclass(frozen=True, kw_only=True, slots=True)
class QueuedSignal:
    """A pending signal's raw siginfo."""

    siginfo: bytes = blob(1)


@dataclass(frozen=True, kw_only=True, slots=True)
class SignalQueue:
    """Pending signals of a thread or of the process."""

    signals: tuple[QueuedSignal, ...] = messages(1, QueuedSignal)


@dataclass(frozen=True, kw_only=True, slots=True)
class RLimit:
    """One resource limit; the index in the list is the resource."""

    cur: int = uint(1)
    max: int = uint(2)


@dataclass(frozen=True, kw_only=True, slots=True)
class RLimits:
    """All resource limits."""

    rlimits: tuple[RLimit, ...] = messages(1, RLimit)


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskCore:
    """What belongs to the process as a whole."""

    task_state: int = uint(1)
    personality: int = uint(3)
    blk_sigset: int = uint(5)
    comm: str = text(6)
    timers: Timers | None = message(7, Timers, default=None)
    rlimits: RLimits | None = message(8, RLimits, default=None)
    signals_s: SignalQueue | None = message(10, SignalQueue, default=None)
    old_seccomp_mode: int | None = uint(11, default=None)
    sigactions: tuple[SigAction, ...] = messages(15, SigAction)  # signals 1..64 without 9 and 19
    child_subreaper: bool = flag(18)
    membarrier_registration_mask: int = uint(22, default=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class KernelIds:
    """Which kernel objects threads or processes share."""

    vm_id: int = uint(1)
    files_id: int = uint(2)
    fs_id: int = uint(3)
    sighand_id: int = uint(4)


@dataclass(frozen=True, kw_only=True, slots=True)
class AltStack:
    """sigaltstack()."""

    ss_sp: int = uint(1)
    ss_size: int = uint(2)
    ss_flags: int = uint(3)


@dataclass(frozen=True, kw_only=True, slots=True)
class Creds:
    """Credentials of a thread."""

    uid: int = uint(1)
    gid: int = uint(2)
    euid: int = uint(3)
    egid: int = uint(4)
    cap_inh: tuple[int, ...] = uints(9)
    cap_prm: tuple[int, ...] = uints(10)
    cap_eff: tuple[int, ...] = uints(11)
    cap_bnd: tuple[int, ...] = uints(12)
    groups: tuple[int, ...] = uints(14)
    no_new_privs: int = uint(18, default=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class RSeq:
    """Registration of a restartable-sequences area."""

    rseq_abi_pointer: int = uint(1)
    rseq_abi_size: int = uint(2)
    signature: int = uint(3)
    rseq_cs_pointer: int = uint(4, default=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class ThreadCore:
    """What belongs to one thread besides its registers."""

    futex_rla: int = uint(1)
    futex_rla_len: int = uint(2)
    sched_nice: int = sint(3, default=0)
    sched_policy: int = uint(4, default=0)
    sched_prio: int = uint(5, default=0)
    blk_sigset: int | None = uint(6, default=None)
    sas: AltStack | None = message(7, AltStack, default=None)
    pdeath_sig: int = uint(8, default=0)
    signals_p: SignalQueue | None = message(9, SignalQueue, default=None)
    creds: Creds | None = message(10, Creds, default=None)
    seccomp_mode: int = uint(11, default=0)
    comm: str | None = text(13, default=None)
    rseq_entry: RSeq | None = message(15, RSeq, default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Core:
    """core-<tid>.img: one thread; `tc` and `ids` only in the leader's."""

    mtype: int = uint(1)  # 1: x86-64
    thread_info: ThreadInfo | None = message(2, ThreadInfo, default=None)
    tc: TaskCore | None = message(3, TaskCore, default=None)
    ids: KernelIds | None = message(4, KernelIds, default=None)
    thread_core: ThreadCore | None = message(5, ThreadCore, default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Vma:
    """One mapping of the address space, [start, end)."""

    start: int = uint(1)
    end: int = uint(2)
    pgoff: int = uint(3)  # bytes, in spite of its name
    shmid: int = uint(4)  # file id for file mappings, segment id for shared anonymous ones
    prot: int = uint(5)
    flags: int = uint(6)  # MAP_*
    status: int = uint(7)  # AREA_*, FILE_*, ANON_*
    fd: int = int64(8)
    madv: int = uint(9, default=0)  # bit n: madvise(n) is in force
    fdflags: int = uint(10, default=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class AioRing:
    """An io_setup() context."""

    id: int = uint(1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Mm:
    """mm-<pid>.img: the address space."""

    start_code: int = uint(1)
    end_code: int = uint(2)
    start_data: int = uint(3)
    end_data: int = uint(4)
    start_stack: int = uint(5)
    start_brk: int = uint(6)
    brk: int = uint(7)
    arg_start: int = uint(8)
    arg_end: int = uint(9)
    env_start: int = uint(10)
    env_end: int = uint(11)
    exe_file_id: int = uint(12)
    saved_auxv: tuple[int, ...] = uints(13)
    vmas: tuple[Vma, ...] = messages(14, Vma)
    dumpable: int | None = int64(15, default=None)
    aios: tuple[AioRing, ...] = messages(16, AioRing)
    thp_disabled: bool = flag(17)


@dataclass(frozen=True, kw_only=True, slots=True)
class PagesHead:
    """First entry of a pagemap image: which pages-N.img it describes."""

    pages_id: int = uint(1)


@dataclass(frozen=True, kw_only=True, slots=True)
class PageRun:
    """Consecutive pages at `vaddr`; their contents follow each other in the pages file."""

    vaddr: int = uint(1)
    compat_nr_pages: int = uint(2, default=0)
    in_parent: bool = flag(3)
    flags: int = uint(4, default=0)
    nr_pages: int = uint(5, default=0)

    @property
    def pages(self) -> int:
        """Number of pages; images before 4.0 only have the 32-bit field."""
        return self.nr_pages or self.compat_nr_pages


@dataclass(frozen=True, kw_only=True, slots=True)
class Fd:
    """One descriptor of the process; `id` names its open file."""

    id: int = uint(1)
    flags: int = uint(2)  # 1: FD_CLOEXEC
    type: int = uint(3)
    fd: int = uint(4)


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """F_SETOWN state of an open file."""

    uid: int = uint(1)
    euid: int = uint(2)
    signum: int = uint(3)
    pid_type: int = uint(4)
    pid: int = uint(5)


@dataclass(frozen=True, kw_only=True, slots=True)
class RegFile:
    """A regular file, device or directory, by path."""

    id: int = uint(1)
    flags: int = uint(2)
    pos: int = uint(3)
    name: str = text(6)
    size: int | None = uint(8, default=None)
    ext: bool = flag(9)
    mode: int | None = uint(10, default=None)
    build_id: tuple[int, ...] = uints(11)  # the note as little-endian 32-bit words


@dataclass(frozen=True, kw_only=True, slots=True)
class SocketOptions:
    """The socket options that differ from a fresh socket's."""

    so_sndbuf: int = uint(1)
    so_rcvbuf: int = uint(2)
    so_snd_tmo_sec: int = uint(3)
    so_snd_tmo_usec: int = uint(4)
    so_rcv_tmo_sec: int = uint(5)
    so_rcv_tmo_usec: int = uint(6)
    reuseaddr: bool = flag(7)
    so_priority: int = uint(8, default=0)
    so_rcvlowat: int = uint(9, default=0)
    so_passcred: bool = flag(11)
    so_filter: tuple[int, ...] = fixed64s(16)
    so_reuseport: bool = flag(17)
    so_broadcast: bool = flag(18)
    so_keepalive: bool = flag(19)


@dataclass(frozen=True, kw_only=True, slots=True)
class InetSocket:
    """An AF_INET or AF_INET6 socket."""

    id: int = uint(1)
    ino: int = uint(2)
    family: int = uint(3)
    type: int = uint(4)
    proto: int = uint(5)
    state: int = uint(6)
    src_port: int = uint(7)
    dst_port: int = uint(8)
    flags: int = uint(9)
    src_addr: tuple[int, ...] = uints(11)
    dst_addr: tuple[int, ...] = uints(12)
    opts: SocketOptions | None = message(14, SocketOptions, default=None)
    v6only: bool = flag(15)


@dataclass(frozen=True, kw_only=True, slots=True)
class EventFd:
    """An eventfd."""

    id: int = uint(1)
    flags: int = uint(2)
    counter: int = uint(4)


@dataclass(frozen=True, kw_only=True, slots=True)
class EpollTarget:
    """One entry of an epoll interest list."""

    id: int = uint(1)
    tfd: int = uint(2)
    events: int = uint(3)
    data: int = uint(4)


@dataclass(frozen=True, kw_only=True, slots=True)
class EventPoll:
    """An epoll instance."""

    id: int = uint(1)
    flags: int = uint(2)
    tfd: tuple[EpollTarget, ...] = messages(4, EpollTarget)


@dataclass(frozen=True, kw_only=True, slots=True)
class SignalFd:
    """A signalfd."""

    id: int = uint(1)
    flags: int = uint(2)
    sigmask: int = uint(4)


@dataclass(frozen=True, kw_only=True, slots=True)
class TimerFd:
    """A timerfd: time left and interval; `ticks` expirations not yet read."""

    id: int = uint(1)
    flags: int = uint(2)
    clockid: int = uint(4)
    ticks: int = uint(5)
    settime_flags: int = uint(6)
    vsec: int = uint(7)
    vnsec: int = uint(8)
    isec: int = uint(9)
    insec: int = uint(10)


@dataclass(frozen=True, kw_only=True, slots=True)
class UnixSocket:
    """An AF_UNIX socket; `peer` is another socket's `ino`, 0 when unconnected."""

    id: int = uint(1)
    ino: int = uint(2)
    type: int = uint(3)
    state: int = uint(4)
    flags: int = uint(5)
    uflags: int = uint(6)
    backlog: int = uint(7)
    peer: int = uint(8)
    opts: SocketOptions = message(10, SocketOptions)
    name: bytes = blob(11)
    shutdown: int = uint(12, default=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fifo:
    """A named pipe's open end; its path is that of file `regf_id`."""

    id: int = uint(1)
    pipe_id: int = uint(2)
    regf_id: int | None = uint(3, default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pipe:
    """One open end of a pipe; `pipe_id` is the pipe's inode."""

    id: int = uint(1)
    pipe_id: int = uint(2)
    flags: int = uint(3)


@dataclass(frozen=True, kw_only=True, slots=True)
class MemFd:
    """An open memfd; contents belong to inode `inode_id`."""

    id: int = uint(1)
    flags: int = uint(2)
    pos: int = uint(3)
    inode_id: int = uint(5)


@dataclass(frozen=True, kw_only=True, slots=True)
class MemFdInode:
    """memfd.img: one memfd's inode; its pages are those of shared segment `shmid`."""

    name: str = text(1)
    size: int = uint(4)
    shmid: int = uint(5)
    seals: int = uint(6)
    inode_id: int = uint(7)
    hugetlb_flag: int | None = uint(8, default=None)
    mode: int | None = uint(9, default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """files.img: one open file of any kind; exactly the member that `type` says is set."""

    type: int = uint(1)
    id: int = uint(2)
    reg: RegFile | None = message(3, RegFile, default=None)
    isk: InetSocket | None = message(4, InetSocket, default=None)
    efd: EventFd | None = message(8, EventFd, default=None)
    epfd: EventPoll | None = message(9, EventPoll, default=None)
    sgfd: SignalFd | None = message(10, SignalFd, default=None)
    tfd: TimerFd | None = message(12, TimerFd, default=None)
    usk: UnixSocket | None = message(16, UnixSocket, default=None)
    fifo: Fifo | None = message(17, Fifo, default=None)
    pipe: Pipe | None = message(18, Pipe, default=None)
    memfd: MemFd | None = message(20, MemFd, default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fs:
    """fs-<pid>.img: working directory, root and umask."""

    cwd_id: int = uint(1)
    root_id: int = uint(2)
    umask: int = uint(3, default=0o022)


@dataclass(frozen=True, kw_only=True, slots=True)
class PipeDataHead:
    """pipes-data.img: unread bytes of one pipe follow this entry."""

    pipe_id: int = uint(1)
    bytes: int = uint(2)
    size: int | None = uint(3, default=None)  # capacity of the pipe


@dataclass(frozen=True, kw_only=True, slots=True)
class PacketRights:
    """Descriptors under way in a unix socket."""

    type: int = uint(1)
    rights: tuple[int, ...] = uints(2)


@dataclass(frozen=True, kw_only=True, slots=True)
class PacketHead:
    """sk-queues.img: one unread packet of socket `id_for` follows this entry."""

    id_for: int = uint(1)
    length: int = uint(2)
    scm: tuple[PacketRights, ...] = messages(4, PacketRights)


@dataclass(frozen=True, kw_only=True, slots=True)
class FileLock:
    """filelocks.img: one lock; `flag` 1 POSIX, 2 flock, 4 OFD, 8 lease (criu/include/file-lock.h)."""

    flag: int = uint(1)
    type: int = uint(2)  # 0 read, 1 write
    pid: int = int64(3)
    fd: int = int64(4)
    start: int = int64(5)
    len: int = int64(6)


@dataclass(frozen=True, kw_only=True, slots=True)
class Remap:
    """remap-fpath.img: file `orig_id` has no usable name; it is ghost file `remap_id`."""

    orig_id: int = uint(1)
    remap_id: int = uint(2)
    remap_type: int = uint(3, default=0)  # 0 linked, 1 ghost, 2 procfs


@dataclass(frozen=True, kw_only=True, slots=True)
class GhostHead:
    """ghost-file-N.img: an unlinked file's attributes; its contents follow."""

    uid: int = uint(1)
    gid: int = uint(2)
    mode: int = uint(3)
    chunks: bool = flag(9)
    size: int | None = uint(10, default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class GhostChunk:
    """A piece of a sparse ghost file; its bytes follow."""

    len: int = uint(1)
    off: int = uint(2)
