"""Mutexes of C code that are held at the freeze and know their owner by the kernel's thread number.

The native engine gives threads new numbers.  A recursive, error-checking,
robust or priority-inheriting pthread mutex compares its owner with the
caller's number when it is unlocked, so one that was held across the freeze
could never be unlocked again.  Plain mutexes do not compare, and Python's own
locks (`threading.Lock`, `RLock`, conditions) are semaphores or name their
owner by the address of its thread, which stays; those are left alone.

Robust ones are known for certain: a thread's robust list (set_robust_list(2),
include/uapi/linux/futex.h) leads to each that it holds.  The others are found
by their bytes: glibc's ``struct __pthread_mutex_s``
(sysdeps/nptl/bits/struct_mutex.h, the same since 2.30), 40 bytes of which
nearly all are known for a mutex that is held.  Patching the number in the
pages, as is done for the thread's own record, was rejected: it would write
into memory that only looks like a mutex, and a wrong guess would be silent.
"""

from __future__ import annotations

import mmap
from bisect import bisect_right
from collections.abc import Iterator
from struct import Struct
from typing import Any, Final

from quickthaw.criuimg import PageStore, Process, Thread
from quickthaw.criuimg import records as r
from quickthaw.names import PAGE_SIZE

_WORDS: Final = 10  # of 4 bytes: lock, count, owner, nusers, kind, spins and elision, two pointers
_OWNER: Final = 2  # its word
_RECURSIVE: Final = 1  # of the kind (nptl/pthreadP.h)
_ERROR_CHECKING: Final = 2
_INHERITING: Final = 0x20
_KINDS: Final = 0x3 | _INHERITING | 0x80  # and process-shared
_LOCK_TID: Final = 0x3FFF_FFFF  # of the lock word of robust and inheriting mutexes (FUTEX_TID_MASK)
_ROBUST_HEAD: Final = Struct("<QqQ")  # struct robust_list_head: first entry, from entry to lock word, pending
_LONGEST: Final = 2048  # entries that the kernel follows (ROBUST_LIST_LIMIT)
_MOST: Final = 10_000  # nesting depth and waiters that are believed


def held(process: Process, store: PageStore) -> list[str]:
    """Each mutex that a native thaw would leave locked for ever, as one sentence.

    Args:
        process: the frozen process.
        store: its pages.
    """
    import numpy as np  # late: no other part of the planner needs it

    names = {thread.tid: thread.core.comm or process.task.comm for thread in process.threads}
    found = [
        f"thread {thread.tid} ({names[thread.tid]}) holds a robust mutex at {at:x}, {_place(process, at)}"
        for thread in process.threads
        for at in _on_robust_list(thread, store)
    ]
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


def _on_robust_list(thread: Thread, store: PageStore) -> Iterator[int]:
    """Addresses of the mutexes, their lock words, that the kernel would release at the thread's death."""
    head = _read(store, thread.core.futex_rla, _ROBUST_HEAD.size)
    if head is None:
        return
    entry, to_lock, pending = _ROBUST_HEAD.unpack(head)
    entries = [pending & ~1] if pending else []  # the lowest bit tells inheriting mutexes
    while entry & ~1 != thread.core.futex_rla and len(entries) < _LONGEST:
        entries.append(entry & ~1)
        following = _read(store, entry & ~1, 8)
        if following is None:
            break
        entry = int.from_bytes(following, "little")
    for lock in sorted({entry + to_lock for entry in entries}):
        word = _read(store, lock, 4)
        if word is not None and int.from_bytes(word, "little") & _LOCK_TID == thread.tid:
            yield lock


def _read(store: PageStore, address: int, size: int) -> bytes | None:
    """Bytes of the process's memory; None where nothing was dumped."""
    pages = range(address // PAGE_SIZE, (address + size - 1) // PAGE_SIZE + 1)
    if any(page not in store for page in pages):
        return None
    at = address % PAGE_SIZE
    return b"".join(store.page(page) for page in pages)[at : at + size]


def _kind(words: list[int], tid: int) -> str | None:
    """What kind of mutex these words are that this thread holds and that is on no list; None: no such."""
    if len(words) < _WORDS:
        return None
    lock, count, _, users, kind, spins = words[:6]
    tied = kind & _INHERITING
    base = kind & 0x3
    if kind & ~_KINDS or spins or any(words[6:]) or not 1 <= users <= _MOST:
        return None
    if (lock & _LOCK_TID) != tid if tied else lock not in (1, 2):
        return None
    if not 1 <= count <= _MOST if tied or base == _RECURSIVE else count:
        return None
    if tied:
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
