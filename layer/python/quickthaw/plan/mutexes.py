"""Mutexes of C code that are held at the freeze and know their owner by the kernel's thread number.

The native engine gives threads new numbers.  A recursive, error-checking,
robust or priority-inheriting pthread mutex compares its owner with the
caller's number when it is unlocked, so one that was held across the freeze
could never be unlocked again.  Plain mutexes do not compare, and Python's own
locks (`threading.Lock`, `RLock`, conditions) are semaphores or name their
owner by the address of its thread, which stays; those are left alone.

Such mutexes are found by their bytes: glibc's ``struct __pthread_mutex_s``
(sysdeps/nptl/bits/struct_mutex.h, the same since 2.30), 40 bytes of which
nearly all are known for a mutex that is held.  Patching the number in the
pages, as is done for the thread's own record, was rejected: it would write
into memory that only looks like a mutex, and a wrong guess would be silent.
"""

from __future__ import annotations

import mmap
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, Final

from quickthaw.criuimg import PageStore, Process
from quickthaw.criuimg import records as r
from quickthaw.names import PAGE_SIZE

_WORDS: Final = 10  # of 4 bytes: lock, count, owner, nusers, kind, spins and elision, two pointers
_OWNER: Final = 2  # its word
_RECURSIVE: Final = 1  # of the kind (nptl/pthreadP.h)
_ERROR_CHECKING: Final = 2
_ROBUST: Final = 0x10
_INHERITING: Final = 0x20
_KINDS: Final = 0x3 | _ROBUST | _INHERITING | 0x80  # and process-shared
_LOCK_TID: Final = 0x3FFF_FFFF  # of the lock word of robust and inheriting mutexes (FUTEX_TID_MASK)
_MOST: Final = 10_000  # nesting depth and waiters that are believed


def held(process: Process, store: PageStore) -> list[str]:
    """Each mutex that a native thaw would leave locked for ever, as one sentence.

    Args:
        process: the frozen process.
        store: its pages.
    """
    import numpy as np  # late: no other part of the planner needs it

    names = {thread.tid: thread.core.comm or process.task.comm for thread in process.threads}
    found = []
    for address, data in _writable(process, store):
        words = np.frombuffer(data, dtype="<u4")
        for tid, name in names.items():
            for at in np.flatnonzero(words == tid):
                first = int(at) - _OWNER
                kind = _kind([int(word) for word in words[max(0, first) : first + _WORDS]], tid)
                if first >= 0 and first % 2 == 0 and kind:
                    where = address + first * 4
                    place = _place(process, where)
                    found.append(f"thread {tid} ({name}) holds a {kind} mutex at {where:x}, {place}")
    return found


def _kind(words: list[int], tid: int) -> str | None:
    """What kind of mutex these words are that this thread holds and that knows it; None for anything else."""
    if len(words) < _WORDS:
        return None
    lock, count, _, users, kind, spins = words[:6]
    tied = kind & (_ROBUST | _INHERITING)
    base = kind & 0x3
    if kind & ~_KINDS or spins or not 1 <= users <= _MOST:
        return None
    if (lock & _LOCK_TID) != tid if tied else lock not in (1, 2):
        return None
    if not 1 <= count <= _MOST if tied or base == _RECURSIVE else count:
        return None
    if not kind & _ROBUST and any(words[6:]):
        return None
    if kind & _ROBUST:
        return "robust"
    if kind & _INHERITING:
        return "priority-inheriting"
    return {_RECURSIVE: "recursive", _ERROR_CHECKING: "error-checking"}.get(base)


def _writable(process: Process, store: PageStore) -> Iterator[tuple[int, bytes]]:
    """Runs of dumped pages in writable private memory."""
    for vma in process.mm.vmas:
        if not vma.prot & mmap.PROT_WRITE or not vma.status & (r.ANON_PRIVATE | r.FILE_PRIVATE):
            continue
        run: list[Any] = []
        first = 0
        for page in range(vma.start // PAGE_SIZE, vma.end // PAGE_SIZE):
            if page in store:
                first = first if run else page
                run.append(store.page(page))
            elif run:
                yield first * PAGE_SIZE, b"".join(run)
                run = []
        if run:
            yield first * PAGE_SIZE, b"".join(run)


def _place(process: Process, address: int) -> str:
    vmas = sorted(process.mm.vmas, key=lambda vma: vma.start)
    vma = vmas[bisect_right([vma.start for vma in vmas], address) - 1]
    if vma.status & r.FILE_PRIVATE:
        return f"of {process.path(vma.shmid)}"
    return "on the heap" if vma.status & r.AREA_HEAP else "in anonymous memory"
