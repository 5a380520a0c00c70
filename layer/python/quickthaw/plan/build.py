"""The planner: CRIU's images become ``plan``, ``pages.lz4`` and ``pages.raw`` for the native restorer.

Everything that takes thought is done here, on the build machine; the restorer
executes a list.  The pages files are written first and the plan last, into a
directory of the caller, who renames it in place: a plan is never beside pages
of another plan, and if it were, their tags would differ.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from quickthaw import names
from quickthaw.criuimg import PageStore, Process, load
from quickthaw.criuimg import records as r
from quickthaw.errors import CannotFreeze, UsageError
from quickthaw.plan import classify, cpu, descriptors, frame, identity, layout, pagefiles, vdso
from quickthaw.plan.classify import Area, Source
from quickthaw.plan.contents import Contents
from quickthaw.plan.hot import HotSet, runs
from quickthaw.plan.left import Entry
from quickthaw.plan.refuse import refusals
from quickthaw.plan.tables import Tables

PLAN: Final = "plan"
PACKED: Final = "pages.lz4"
RAW: Final = "pages.raw"
_MAP_KEPT: Final = 0x4000 | 0x100 | 0x20000  # MAP_NORESERVE, MAP_GROWSDOWN, MAP_STACK
_MADV_RANDOM: Final = 1
_MADV_WIPEONFORK: Final = 18
_MADV_DONTDUMP: Final = 16  # set on the vdso by the kernel; means nothing for a thaw
_AREA_STEP: Final = 1 << 36
_NO_ADVICE: Final = {_MADV_DONTDUMP}


@dataclass(frozen=True, kw_only=True)
class PlanSummary:
    """What was planned; sizes in bytes."""

    layout: str
    vmas: int
    maps: int
    files: int
    threads: int
    eager_pages: int
    lazy_pages: int
    zero_pages: int  # dumped, but not stored
    blocks: int
    plan_size: int
    packed_size: int
    raw_size: int
    foreign_allocator: str | None  # the file whose allocator keeps anonymous memory out of pages.raw


def build(
    images: Path,
    pages: Mapping[int, Path] | None,
    out: Path,
    *,
    layout: str = "auto",
    hot: HotSet | None = None,
    budget: int | None = None,
    resolve: Callable[[str], Path] = Path,
    cpu_flags: Iterable[str] | None = None,
    context: Mapping[str, object] | None = None,
    level: int = names.LZ4_LEVEL,
    area: int | None = None,
    wiped_on_fork: Sequence[tuple[int, int]] = (),
    entries: Sequence[Entry] = (),
) -> PlanSummary:
    """Plan the thaw of a dump.

    Args:
        images: CRIU's image directory.
        pages: the uncompressed pages files by number; None: ``pages-N.img`` in `images`.
        out: an existing directory; plan, pages.lz4 and pages.raw are written into it.
        layout: lz4, lazy, hot (needs `hot`) or auto.
        hot: the learned working set: the hot layout's eager pages; in the lazy layout, what to copy at once.
        budget: bytes that plan and pages may take; ``auto`` falls back to lz4 above it.
        resolve: turns a path of the frozen process into one of this machine.
        cpu_flags: /proc/cpuinfo flags that a thaw demands; None: all of this machine's that libraries use.
        context: members added to the wake context.
        level: LZ4 HC level.
        area: where the restorer works in the address space; None: the first place that is free.
        wiped_on_fork: address ranges [start, end) with MADV_WIPEONFORK (`advice.wiped_on_fork`): BoringSSL
            keeps its generator safe with it, and CRIU's images do not tell.
        entries: what the import left in /tmp (`left.collect`), to be there again after a thaw.

    Raises:
        CannotFreeze: the process cannot be thawed natively; the text says why.
        BadSnapshot: the images are damaged, or a mapped file is gone.
        UsageError: no such layout, or hot without a hot set.
    """
    process = load(images)
    reasons = refusals(process)
    if reasons:
        raise CannotFreeze(
            "the native engine cannot thaw this process: " + "; ".join(reasons),
            hint="close or end what is named in a before-snapshot hook, or thaw with the criu engine",
        )
    source = (pages or {}).get(process.pagemap.pages_id, images / f"pages-{process.pagemap.pages_id}.img")
    with PageStore(process.pagemap, source) as store:
        contents = Contents(process, store, resolve)
        try:
            chosen = _choose(layout, hot, budget, store)
            plan = _Plan(process, store, contents, resolve, out, chosen, hot, level, wiped_on_fork, entries)
            return plan.write(cpu_flags=cpu_flags, context=context or {}, area=area)
        finally:
            contents.close()


def _choose(wanted: str, hot: HotSet | None, budget: int | None, store: PageStore) -> str:
    if wanted not in ("auto", *layout.LAYOUTS):
        raise UsageError(
            f"no layout is called {wanted}", hint=f"layouts are auto, {', '.join(layout.LAYOUTS)}"
        )
    if wanted == "hot" and hot is None:
        raise UsageError("the hot layout needs a hot set", hint="run quickthaw learn first")
    if wanted != "auto":
        return wanted
    if budget is not None and len(store) * names.PAGE_SIZE > budget:
        return "lz4"
    return "hot" if hot is not None else "lazy"


class _Plan:
    """One run of the planner; methods in the order of work."""

    def __init__(
        self,
        process: Process,
        store: PageStore,
        contents: Contents,
        resolve: Callable[[str], Path],
        out: Path,
        chosen: str,
        hot: HotSet | None,
        level: int,
        wiped: Sequence[tuple[int, int]],
        entries: Sequence[Entry],
    ) -> None:
        self.process, self.store, self.contents, self.resolve = process, store, contents, resolve
        self.out, self.layout, self.level = out, chosen, level
        self.wiped, self.entries, self.hot = wiped, entries, hot
        self.identities = {path: identity.of_file(path, resolve(path)) for path in process.mapped_paths()}
        self.foreign = classify.foreign_allocator(process, store, resolve)
        self.areas = classify.areas(
            process,
            store,
            layout=chosen,
            unsafe=[*classify.unsafe_ranges(process, store, resolve), *wiped],
            hot=hot,
            file_size=lambda path: self.identities[path].size,
            shared=contents.shared_pages(),
        )
        self.tables = Tables()

    def write(
        self, *, cpu_flags: Iterable[str] | None, context: Mapping[str, object], area: int | None
    ) -> PlanSummary:
        """Write the three files."""
        tag = self._tag()
        blocks = pagefiles.write_packed(
            self.out / PACKED, self.areas, self.contents, tag=tag, level=self.level
        )
        raw = pagefiles.write_raw(self.out / RAW, self.areas, self.contents, tag=tag)
        packed_size = blocks[-1].offset + blocks[-1].packed if blocks else 0
        self._add_files()
        found = descriptors.of_process(self.process)
        self._add_maps(raw, found)
        self._add_blocks(blocks)
        self._add_writes()
        self._add_threads()
        self._add_signals()
        self._add_timers()
        self._add_descriptors(found)
        self._add_entries()
        plan = self.tables.seal(
            tag=tag,
            area=area if area is not None else self._area(layout.AREA_PACKED + packed_size),
            packed_size=packed_size,
            raw_size=raw.size,
            layout=layout.LAYOUTS[self.layout],
            **{f"cpu__{word}": bits for word, bits in cpu.needed(cpu_flags or cpu.of_this_machine()).items()},
            **self._vdso(),
            **{f"mm__{name}": getattr(self.process.mm, name) for name in layout.MM_FIELDS},
            **self.tables.piece(
                "auxv", b"".join(w.to_bytes(8, "little") for w in self.process.mm.saved_auxv)
            ),
            umask=self.process.fs.umask,
            membarrier=self.process.task.membarrier_registration_mask,
            **self.tables.text("cwd", self.process.path(self.process.fs.cwd_id)),
            **self.tables.piece("context", _members(context)),
            **self._itimers(),
            max_fd=found.max_fd,
            scratch_fd=found.scratch_fd,
            thaw_fd=names.THAW_FD,
            woke_fd=names.WOKE_FD,
            telemetry_fd=names.TELEMETRY_FD,
        )
        (self.out / PLAN).write_bytes(plan)
        return self._summary(
            blocks=len(blocks), plan_size=len(plan), packed_size=packed_size, raw_size=raw.size
        )

    def _tag(self) -> int:
        """Names this plan's pages files: differs whenever what is in them does."""
        digest = hashlib.sha256(f"{self.layout} {self.level}".encode())
        for area in self.areas:
            for run in area.runs:
                digest.update(f"{run.first:x} {run.last:x} {run.source}".encode())
        with self.store.path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "blake2b").digest())
        return int.from_bytes(digest.digest()[:8], "little")

    def _area(self, size: int) -> int:
        """A part of the address space that the process does not use."""
        start = layout.AREA_DEFAULT
        taken = sorted((vma.start, vma.end) for vma in self.process.mm.vmas)
        while any(begin < start + size and end > start for begin, end in taken):
            start += _AREA_STEP
        return start

    def _add_files(self) -> None:
        for path in sorted(self.identities):
            found = self.identities[path]
            samples = {
                f"sample[{number}]__{name}": getattr(sample, name)
                for number, sample in enumerate(found.samples)
                for name in ("offset", "size", "checksum")
            }
            self.tables.add(
                layout.FILE,
                **self.tables.text("path", path),
                size=found.size,
                mtime_ns=found.mtime_ns,
                **samples,
            )

    def _add_maps(self, raw: pagefiles.RawFile, found: descriptors.Descriptors) -> None:
        """The mappings, ascending and disjoint; then the protections that filling had to loosen."""
        index = {path: number for number, path in enumerate(sorted(self.identities))}
        for area in self.areas:
            vma = area.vma
            for begin, end, source, first in _pieces(area):
                prot, file, offset = vma.prot, layout.FILE_NONE, 0
                flags = mmap.MAP_ANONYMOUS | vma.flags & _MAP_KEPT
                flags |= mmap.MAP_SHARED if vma.status & r.ANON_SHARED else mmap.MAP_PRIVATE
                if source is Source.FILE and vma.shmid in found.mapped:
                    file = layout.FILE_OBJECT - found.mapped[vma.shmid]
                    offset = vma.pgoff + begin - vma.start
                    flags = mmap.MAP_SHARED
                elif source is Source.FILE:
                    file = index[self.process.path(vma.shmid)]
                    offset = vma.pgoff + begin - vma.start
                    flags = (
                        mmap.MAP_SHARED if vma.status & r.FILE_SHARED else mmap.MAP_PRIVATE
                    ) | vma.flags & _MAP_KEPT
                elif source is Source.LAZY:
                    file, offset = layout.FILE_RAW, raw.offsets[first]
                    flags = mmap.MAP_PRIVATE | vma.flags & _MAP_KEPT
                elif source is Source.EAGER and not vma.prot & mmap.PROT_WRITE:
                    prot |= mmap.PROT_READ | mmap.PROT_WRITE
                advice = vma.madv & ~sum(1 << bit for bit in _NO_ADVICE) & 0xFFFF_FFFF
                if any(start <= begin and end <= stop for start, stop in self.wiped):
                    advice |= 1 << _MADV_WIPEONFORK
                if source is Source.LAZY and self.layout == "hot":
                    advice |= 1 << _MADV_RANDOM
                self.tables.add(
                    layout.MAP,
                    start=begin,
                    size=end - begin,
                    offset=offset,
                    prot=prot,
                    flags=flags,
                    file=file,
                    advice=advice,
                )
                if prot != vma.prot:
                    self.tables.add(layout.PROTECT, start=begin, size=end - begin, prot=vma.prot)

    def _add_blocks(self, blocks: list[pagefiles.Block]) -> None:
        for block in blocks:
            first = self.tables.count(layout.SEGMENT)
            for begin, end in block.segments:
                size = (end - begin) * names.PAGE_SIZE
                self.tables.add(layout.SEGMENT, start=begin * names.PAGE_SIZE, size=size)
            self.tables.add(
                layout.BLOCK,
                offset=block.offset,
                packed=block.packed,
                size=block.size,
                segment=first,
                segments=len(block.segments),
                checksum=block.checksum,
            )

    def _add_writes(self) -> None:
        """In the lazy layout: what a request is known to write to, copied in advance by all CPUs."""
        if self.layout != "lazy" or self.hot is None:
            return
        for area in self.areas:
            if not area.vma.prot & mmap.PROT_WRITE:
                continue
            for run in area.runs:
                if run.source is Source.LAZY:
                    for first, count in runs(self.hot.written.intersection(range(run.first, run.last))):
                        start, size = first * names.PAGE_SIZE, count * names.PAGE_SIZE
                        self.tables.add(layout.WRITE, start=start, size=size)

    def _add_threads(self) -> None:
        for thread in self.process.threads:
            core, regs = thread.core, thread.info.gpregs
            clear_tid = thread.info.clear_tid_addr
            rseq = core.rseq_entry
            self.tables.add(
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
                flags=layout.THREAD_PATCH_TID if self._word(clear_tid) == thread.tid else 0,
                death_signal=core.pdeath_sig,
                **self.tables.piece("frame", frame.build(thread, self.process.task.blk_sigset)),
                name=(core.comm or self.process.task.comm).encode("utf-8", "surrogateescape")[:15],
            )

    def _word(self, address: int) -> int:
        page, at = divmod(address, names.PAGE_SIZE)
        if address == 0 or at > names.PAGE_SIZE - 4:
            return -1
        return int.from_bytes(self.contents.page(page)[at : at + 4], "little")

    def _add_signals(self) -> None:
        """64 rows, signal - 1; CRIU leaves out SIGKILL and SIGSTOP."""
        actions = iter(self.process.task.sigactions)
        for number in range(1, 65):
            action = None if number in (9, 19) else next(actions, None)
            if action is None:
                self.tables.add(layout.SIGACTION)
                continue
            self.tables.add(
                layout.SIGACTION,
                handler=action.sigaction,
                flags=action.flags,
                restorer=action.restorer,
                mask=action.mask,
            )

    def _add_timers(self) -> None:
        timers = self.process.task.timers
        tids = [thread.tid for thread in self.process.threads]
        for timer in timers.posix if timers else ():
            self.tables.add(
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

    def _itimers(self) -> dict[str, int]:
        timers = self.process.task.timers
        if timers is None:
            return {}
        words = [
            word
            for timer in (timers.real, timers.virt, timers.prof)
            for word in (timer.isec, timer.iusec, timer.vsec, timer.vusec)
        ]
        if not any(words):
            return {}
        return self.tables.piece("itimers", b"".join(word.to_bytes(8, "little") for word in words))

    def _vdso(self) -> dict[str, int]:
        found = vdso.of_process(self.process, self.store)
        for name, offset in sorted(found.symbols.items()):
            self.tables.add(layout.SYMBOL, **self.tables.text("name", name), offset=offset)
        return {
            "vdso_start": found.start,
            "vdso_size": found.size,
            "vvar_start": found.vvar_start,
            "vvar_size": found.vvar_size,
            **self.tables.piece("vdso", found.image),
        }

    def _add_entries(self) -> None:
        for entry in self.entries:
            self.tables.add(
                layout.ENTRY,
                kind=entry.kind,
                mode=entry.mode,
                **self.tables.text("path", entry.path),
                **self.tables.piece("data", entry.data),
                mtime_ns=entry.mtime_ns,
            )

    def _add_descriptors(self, found: descriptors.Descriptors) -> None:
        for item in found.objects:
            self.tables.add(
                layout.OBJECT,
                kind=item.kind,
                flags=item.flags,
                **self.tables.text("path", item.path),
                **self.tables.piece("data", item.data),
                **{name: getattr(item, name) for name in "abcd"},
            )
        for fd, number, cloexec in found.fds:
            self.tables.add(layout.FD, fd=fd, object=number, cloexec=int(cloexec))
        for epoll, fd, events, data in found.watches:
            self.tables.add(layout.WATCH, epoll=epoll, fd=fd, events=events, data=data)
        for lock in self.process.locks:
            self.tables.add(
                layout.LOCK,
                fd=lock.fd,
                kind=lock.flag,
                type=lock.type,
                start=max(lock.start, 0),
                size=max(lock.len, 0),
            )

    def _summary(self, *, blocks: int, plan_size: int, packed_size: int, raw_size: int) -> PlanSummary:
        def pages(source: Source) -> int:
            return sum(
                run.last - run.first for area in self.areas for run in area.runs if run.source is source
            )

        zero = sum(
            page in self.store
            for area in self.areas
            for run in area.runs
            if run.source is Source.ZERO
            for page in range(run.first, run.last)
        )
        return PlanSummary(
            layout=self.layout,
            vmas=len(self.areas),
            maps=self.tables.count(layout.MAP),
            files=len(self.identities),
            threads=len(self.process.threads),
            eager_pages=pages(Source.EAGER),
            lazy_pages=pages(Source.LAZY),
            zero_pages=zero,
            blocks=blocks,
            plan_size=plan_size,
            packed_size=packed_size,
            raw_size=raw_size,
            foreign_allocator=self.foreign,
        )


def _pieces(area: Area) -> list[tuple[int, int, Source, int]]:
    """Mappings of one VMA: [start, end), source, first page; EAGER and ZERO neighbours are one mapping.

    Only where the VMA is writable: elsewhere filling needs a protection that ZERO must not get.
    """
    writable = bool(area.vma.prot & mmap.PROT_WRITE)
    found: list[tuple[int, int, Source, int]] = []
    anonymous = (Source.EAGER, Source.ZERO)
    for run in area.runs:
        begin, end = run.first * names.PAGE_SIZE, run.last * names.PAGE_SIZE
        if found and writable and run.source in anonymous and found[-1][2] in anonymous:
            found[-1] = (found[-1][0], end, Source.EAGER, found[-1][3])
        else:
            found.append((begin, end, run.source, run.first))
    return found


def _members(context: Mapping[str, object]) -> bytes:
    """JSON members without the braces, to be put behind the restorer's own."""
    text = json.dumps(dict(context), ensure_ascii=True)[1:-1]
    return text.encode()
