"""What the native engine cannot thaw, each as one sentence that names the thing.

The checkpoint asks this before it writes a plan.  A refusal costs the native
engine only: CRIU may still restore such a process where it is permitted to.
"""

from __future__ import annotations

import mmap
from typing import Final

from quickthaw.criuimg import Process
from quickthaw.criuimg import records as r
from quickthaw.plan import descriptors

_ALIVE: Final = 1  # TASK_ALIVE, criu/include/pid.h
_MAP_HUGETLB: Final = 0x40000
_MAX_FILES: Final = 700  # all mapped files are open at once while mapping; RLIMIT_NOFILE is 1024 on Lambda
_MAX_TIMER_ID: Final = 20000  # each id below it costs a timer_create and a timer_delete, 20 ms for these
_ADDRESS_LIMIT: Final = 0x7FFF_FFFF_F000  # five-level page tables are not needed by Python
_LOCKS: Final = {1: "POSIX lock", 2: "flock", 4: "OFD lock"}


def refusals(process: Process) -> list[str]:
    """Every reason against a native thaw of this process; empty when it can be thawed."""
    return [*_task(process), *_threads(process), *_mappings(process), *_files(process)]


def _task(process: Process) -> list[str]:
    found = [f"child process {task.pid}" for task in process.tree[1:]]
    if process.task.task_state != _ALIVE:
        found.append("the process is stopped or has ended")
    signals = process.task.signals_s
    if signals is not None and signals.signals:
        found.append(f"{len(signals.signals)} pending signals")
    if process.mm.aios:
        found.append("asynchronous I/O contexts (io_setup)")
    timers = process.task.timers
    for timer in timers.posix if timers else ():
        known = {thread.tid for thread in process.threads}
        if timer.it_id > _MAX_TIMER_ID:
            found.append(f"timer {timer.it_id}, whose number only {timer.it_id} other timers could give back")
        if timer.notify_thread_id is not None and timer.notify_thread_id not in known | {0}:
            found.append(f"timer {timer.it_id} notifies a thread that has ended")
    return found


def _threads(process: Process) -> list[str]:
    found = []
    for thread in process.threads:
        name = f"thread {thread.tid} ({thread.core.comm or process.task.comm})"
        if thread.info.gpregs.mode != 1:
            found.append(f"{name} runs 32-bit code")
        if any(not segment.seg_not_present and segment.base_addr for segment in thread.info.tls):
            found.append(f"{name} has 32-bit TLS segments")
        if thread.core.signals_p is not None and thread.core.signals_p.signals:
            found.append(f"{name} has {len(thread.core.signals_p.signals)} pending signals")
        xsave = thread.info.fpregs.xsave
        if xsave is not None and xsave.cet is not None and xsave.cet.cet:
            found.append(f"{name} has a shadow stack")
        if thread.core.rseq_entry is not None and thread.core.rseq_entry.rseq_cs_pointer:
            found.append(f"{name} was stopped in a restartable sequence")
    return found


def _mappings(process: Process) -> list[str]:
    found = []
    for vma in process.mm.vmas:
        where = f"memory at {vma.start:x}-{vma.end:x}"
        if vma.status & r.AREA_VSYSCALL:
            continue
        if vma.end > _ADDRESS_LIMIT:
            found.append(f"{where} is above the 47-bit address space")
        if vma.status & r.AREA_SYSVIPC:
            found.append(f"{where} is System V shared memory")
        elif vma.status & r.ANON_SHARED:
            found.extend(_shared(process, vma, where))
        elif vma.status & r.AREA_MEMFD:
            continue  # descriptors.of_process judges it
        elif vma.status & r.AREA_SOCKET:
            found.append(f"{where} maps a socket")
        elif vma.status & r.AREA_AIORING:
            found.append(f"{where} is a ring for asynchronous I/O")
        elif vma.status & r.AREA_SHSTK:
            found.append(f"{where} is a shadow stack")
        elif vma.status & r.AREA_GUARD:
            found.append(f"{where} has guard pages (MADV_GUARD_INSTALL)")
        elif vma.flags & _MAP_HUGETLB:
            found.append(f"{where} uses huge pages of hugetlbfs")
        elif vma.status & (r.FILE_PRIVATE | r.FILE_SHARED):
            found.extend(_file_mapping(process, vma, where))
    paths = process.mapped_paths() if not found else ()
    if len(paths) > _MAX_FILES:
        found.append(f"{len(paths)} mapped files, at most {_MAX_FILES} can be")
    return found


def _shared(process: Process, vma: r.Vma, where: str) -> list[str]:
    """A shared anonymous segment is private to its only process; but seen twice it must stay one."""
    size = vma.end - vma.start
    for other in process.mm.vmas:
        if not other.status & r.ANON_SHARED or other.shmid != vma.shmid or other.start >= vma.start:
            continue
        if other.pgoff < vma.pgoff + size and vma.pgoff < other.pgoff + other.end - other.start:
            return [f"{where} is shared anonymous memory that is also at {other.start:x}"]
    return []


def _file_mapping(process: Process, vma: r.Vma, where: str) -> list[str]:
    file = process.files.get(vma.shmid)
    if file is None or file.reg is None:
        return [f"{where} maps something that is no file"]
    if vma.shmid in process.remaps:
        return []  # descriptors.of_process judges it
    if vma.status & r.FILE_SHARED and vma.prot & mmap.PROT_WRITE:
        return [f"{where} maps {file.reg.name} shared and writable"]
    return []


def _files(process: Process) -> list[str]:
    found = list(descriptors.of_process(process).reasons)
    for lock in process.locks:
        if lock.flag not in _LOCKS:
            found.append(f"descriptor {lock.fd} holds a lease or a lock of an unknown kind")
    for name, file_id in (("working directory", process.fs.cwd_id), ("root directory", process.fs.root_id)):
        file = process.files.get(file_id)
        if file is None or file.reg is None or file_id in process.remaps:
            found.append(f"the {name} has been deleted")
    return found
