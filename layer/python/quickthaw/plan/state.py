"""Rows of the plan about everything but memory: threads, signals, timers, vdso, descriptors, /tmp.

Functions that return a mapping give fields of the header.
"""

from __future__ import annotations

from collections.abc import Iterable

from quickthaw import names
from quickthaw.criuimg import PageStore, Process
from quickthaw.plan import descriptors, frame, layout, vdso
from quickthaw.plan.contents import Contents
from quickthaw.plan.left import Entry
from quickthaw.plan.tables import Tables


def add_threads(tables: Tables, process: Process, contents: Contents) -> None:
    """The threads, leader first."""
    for thread in process.threads:
        core, regs = thread.core, thread.info.gpregs
        clear_tid = thread.info.clear_tid_addr
        rseq = core.rseq_entry
        tables.add(
            layout.THREAD,
            clear_tid=clear_tid,
            fs_base=regs.fs_base,
            gs_base=regs.gs_base,
            robust=core.futex_rla,
            robust_size=core.futex_rla_len,
            rseq=rseq.rseq_abi_pointer if rseq else 0,
            rseq_size=rseq.rseq_abi_size if rseq else 0,
            rseq_signature=rseq.signature if rseq else 0,
            tid=thread.tid,
            # glibc: the word is pthread's tid.  musl points elsewhere; then it is left alone.
            flags=layout.THREAD_PATCH_TID if _word(contents, clear_tid) == thread.tid else 0,
            death_signal=core.pdeath_sig,
            **tables.piece("frame", frame.build(thread, process.task.blk_sigset)),
            **tables.piece("vectors", frame.vectors(thread)),
            name=(core.comm or process.task.comm).encode("utf-8", "surrogateescape")[:15],
        )


def _word(contents: Contents, address: int) -> int:
    page, at = divmod(address, names.PAGE_SIZE)
    if address == 0 or at > names.PAGE_SIZE - 4:
        return -1
    return int.from_bytes(contents.page(page)[at : at + 4], "little")


def add_signals(tables: Tables, process: Process) -> None:
    """64 rows, signal - 1; CRIU leaves out SIGKILL and SIGSTOP."""
    actions = iter(process.task.sigactions)
    for number in range(1, 65):
        action = None if number in (9, 19) else next(actions, None)
        if action is None:
            tables.add(layout.SIGACTION)
            continue
        tables.add(
            layout.SIGACTION,
            handler=action.sigaction,
            flags=action.flags,
            restorer=action.restorer,
            mask=action.mask,
        )


def add_timers(tables: Tables, process: Process) -> None:
    """POSIX timers."""
    timers = process.task.timers
    tids = [thread.tid for thread in process.threads]
    for timer in timers.posix if timers else ():
        tables.add(
            layout.TIMER,
            id=timer.it_id,
            clock=timer.clock_id,
            signal=timer.si_signo,
            notify=timer.it_sigev_notify,
            value=timer.sival_ptr,
            thread=tids.index(timer.notify_thread_id) if timer.notify_thread_id in tids else 0,
            left_ns=timer.vsec * 10**9 + timer.vnsec,
            interval_ns=timer.isec * 10**9 + timer.insec,
        )


def itimers(tables: Tables, process: Process) -> dict[str, int]:
    """The three interval timers as struct itimerval; nothing when none runs."""
    timers = process.task.timers
    if timers is None:
        return {}
    words = [
        word
        for timer in (timers.real, timers.virt, timers.prof)
        for word in (timer.isec, timer.iusec, timer.vsec, timer.vusec)
    ]
    if not any(words):
        return {}
    return tables.piece("itimers", b"".join(word.to_bytes(8, "little") for word in words))


def add_vdso(tables: Tables, process: Process, store: PageStore) -> dict[str, int]:
    """The vdso's functions, and where it was."""
    found = vdso.of_process(process, store)
    for name, offset in sorted(found.symbols.items()):
        tables.add(layout.SYMBOL, **tables.text("name", name), offset=offset)
    return {
        "vdso_start": found.start,
        "vdso_size": found.size,
        "vvar_start": found.vvar_start,
        "vvar_size": found.vvar_size,
        **tables.piece("vdso", found.image),
    }


def add_entries(tables: Tables, entries: Iterable[Entry]) -> None:
    """What lay in /tmp."""
    for entry in entries:
        tables.add(
            layout.ENTRY,
            kind=entry.kind,
            mode=entry.mode,
            **tables.text("path", entry.path),
            **tables.piece("data", entry.data),
            mtime_ns=entry.mtime_ns,
        )


def add_descriptors(tables: Tables, process: Process, found: descriptors.Descriptors) -> None:
    """Open files, descriptors, epoll lists, locks."""
    for item in found.objects:
        tables.add(
            layout.OBJECT,
            kind=item.kind,
            flags=item.flags,
            **tables.text("path", item.path),
            **tables.piece("data", item.data),
            **{name: getattr(item, name) for name in "abcd"},
        )
    for fd, number, cloexec in found.fds:
        tables.add(layout.FD, fd=fd, object=number, cloexec=int(cloexec))
    for epoll, fd, events, data in found.watches:
        tables.add(layout.WATCH, epoll=epoll, fd=fd, events=events, data=data)
    for lock in process.locks:
        tables.add(
            layout.LOCK,
            fd=lock.fd,
            kind=lock.flag,
            type=lock.type,
            start=max(lock.start, 0),
            size=max(lock.len, 0),
        )
