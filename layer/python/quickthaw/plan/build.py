"""The planner: CRIU's images become ``plan``, ``pages.lz4`` and ``pages.raw`` for the native restorer.

Everything that takes thought is done here, on the build machine; the restorer
executes a list.  The pages files are written first and the plan last, into a
directory of the caller, who renames it in place: a plan is never beside pages
of another plan, and if it were, their tags would differ.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from quickthaw import names
from quickthaw.criuimg import PageStore, Process, load
from quickthaw.errors import CannotFreeze, UsageError
from quickthaw.plan import (
    classify,
    cpu,
    descriptors,
    frame,
    identity,
    layout,
    left,
    memory,
    mutexes,
    pagefiles,
    state,
)
from quickthaw.plan.classify import Source
from quickthaw.plan.contents import Contents
from quickthaw.plan.hot import HotSet
from quickthaw.plan.left import Entry
from quickthaw.plan.refuse import refusals
from quickthaw.plan.tables import Tables
from quickthaw.runtime import watchdog

PLAN: Final = "plan"
PACKED: Final = "pages.lz4"
RAW: Final = "pages.raw"
_AREA_STEP: Final = 1 << 36


@dataclass(frozen=True, kw_only=True)
class PlanSummary:
    """What was planned; sizes in bytes."""

    layout: str
    vmas: int
    maps: int
    files: int
    threads: int
    eager_pages: int
    copied_pages: int  # of libraries, where those are not in the page cache
    lazy_pages: int
    zero_pages: int  # dumped, but not stored
    blocks: int
    plan_size: int
    packed_size: int
    raw_size: int
    foreign_allocator: str | None  # the file whose allocator keeps anonymous memory out of pages.raw

    @property
    def size(self) -> int:
        """Bytes of plan and pages files."""
        return self.plan_size + self.packed_size + self.raw_size


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
    sources: Iterable[str] = (),
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
        hot: the learned working set: the hot layout's eager pages and copies of library pages; in the lazy
            layout, what to copy at once.
        budget: bytes that plan and pages may take; ``auto`` becomes lz4 above it, the smallest.
        resolve: turns a path of the frozen process into one of this machine.
        cpu_flags: /proc/cpuinfo flags that a thaw demands; None: all of this machine's that libraries use.
        sources: files that must be the same besides the mapped ones, as the process sees them.
        context: members added to the wake context.  `cold_init_s` of it, the cold start that a thaw saves, is
            also what the restorer may take; where nobody knows it, half of Lambda's limit for an init.
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
    _refuse(refusals(process))
    source = (pages or {}).get(process.pagemap.pages_id, images / f"pages-{process.pagemap.pages_id}.img")
    with (
        PageStore(process.pagemap, source) as store,
        TemporaryDirectory(prefix="quickthaw-left-") as scratch,
    ):
        _refuse(mutexes.held(process, store))
        resolve = left.resolver(resolve, entries, process.mapped_paths(), Path(scratch))
        contents = Contents(process, store, resolve)
        try:

            def write(chosen: str) -> PlanSummary:
                plan = _Plan(
                    process,
                    store,
                    contents,
                    resolve,
                    out,
                    chosen=chosen,
                    hot=hot,
                    level=level,
                    wiped=wiped_on_fork,
                    entries=entries,
                    sources=sources,
                )
                return plan.write(cpu_flags=cpu_flags, context=context or {}, area=area)

            made = write(_choose(layout, hot))
            # Written to know: what a layout weighs depends on how it compresses.
            if layout == "auto" and budget is not None and made.size > budget:
                made = write("lz4")
            return made
        finally:
            contents.close()


def _refuse(reasons: Sequence[str]) -> None:
    if reasons:
        raise CannotFreeze(
            "the native engine cannot thaw this process: " + "; ".join(reasons),
            hint="close or end what is named in a before-snapshot hook, or thaw with the criu engine",
        )


def _choose(wanted: str, hot: HotSet | None) -> str:
    if wanted not in ("auto", *layout.LAYOUTS):
        raise UsageError(
            f"no layout is called {wanted}", hint=f"layouts are auto, {', '.join(layout.LAYOUTS)}"
        )
    if wanted == "hot" and hot is None:
        raise UsageError("the hot layout needs a hot set", hint="run quickthaw learn first")
    if wanted != "auto":
        return wanted
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
        *,
        chosen: str,
        hot: HotSet | None,
        level: int,
        wiped: Sequence[tuple[int, int]],
        entries: Sequence[Entry],
        sources: Iterable[str],
    ) -> None:
        self.process, self.store, self.contents, self.resolve = process, store, contents, resolve
        self.out, self.layout, self.level = out, chosen, level
        self.wiped, self.entries, self.hot = wiped, entries, hot
        mapped = set(process.mapped_paths())
        self.identities = {
            path: identity.of_file(path, resolve(path), whole=path not in mapped)
            for path in sorted(mapped.union(sources))  # as the plan's files are
        }
        self.foreign = classify.foreign_allocator(process, store, resolve)
        self.areas = classify.areas(
            process,
            store,
            layout=chosen,
            unsafe=[*classify.unsafe_ranges(process, store, self.foreign), *wiped],
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
        blocks, eager_blocks = pagefiles.write_packed(
            self.out / PACKED, self.areas, self.contents, tag=tag, level=self.level
        )
        raw = pagefiles.write_raw(self.out / RAW, self.areas, self.contents, tag=tag)
        packed_size = blocks[-1].offset + blocks[-1].packed if blocks else 0
        found = descriptors.of_process(self.process)
        memory.add_files(self.tables, self.identities)
        protects = memory.add_maps(
            self.tables,
            self.process,
            self.areas,
            files=self.identities,
            objects=found.mapped,
            raw=raw,
            wiped=self.wiped,
            random=self.layout == "hot",
        )
        memory.add_blocks(self.tables, blocks)
        memory.add_probes(self.tables, self.process, self.areas, self.identities)
        if self.layout != "lz4" and self.hot is not None:
            memory.add_touches(self.tables, self.areas, self.hot)
        state.add_threads(self.tables, self.process, self.contents)
        state.add_signals(self.tables, self.process)
        state.add_timers(self.tables, self.process)
        state.add_descriptors(self.tables, self.process, found)
        state.add_entries(self.tables, self.entries)
        plan = self.tables.seal(
            tag=tag,
            area=area if area is not None else self._area(layout.AREA_PACKED + packed_size),
            packed_size=packed_size,
            raw_size=raw.size,
            limit_ns=_limit_ns(context),
            layout=layout.LAYOUTS[self.layout],
            **{f"cpu__{word}": bits for word, bits in self._cpu(cpu_flags).items()},
            **state.add_vdso(self.tables, self.process, self.store),
            **{f"mm__{name}": getattr(self.process.mm, name) for name in layout.MM_FIELDS},
            **self.tables.piece(
                "auxv", b"".join(w.to_bytes(8, "little") for w in self.process.mm.saved_auxv)
            ),
            umask=self.process.fs.umask,
            membarrier=self.process.task.membarrier_registration_mask,
            **self.tables.text("cwd", self.process.path(self.process.fs.cwd_id)),
            **self.tables.piece("context", _members(context)),
            **state.itimers(self.tables, self.process),
            max_fd=found.max_fd,
            scratch_fd=found.scratch_fd,
            thaw_fd=names.THAW_FD,
            woke_fd=names.WOKE_FD,
            telemetry_fd=names.TELEMETRY_FD,
            copy_block=eager_blocks,
            copy_protect=protects,
        )
        (self.out / PLAN).write_bytes(plan)
        return self._summary(
            blocks=len(blocks), plan_size=len(plan), packed_size=packed_size, raw_size=raw.size
        )

    def _cpu(self, flags: Iterable[str] | None) -> dict[str, int]:
        live = 0
        for thread in self.process.threads:
            live |= frame.live_vectors(thread)
        return cpu.needed(flags or cpu.of_this_machine(), live)

    def _tag(self) -> int:
        """Names this plan's pages files: differs whenever what is in them does."""
        digest = hashlib.sha256(f"{self.layout} {self.level}".encode())
        for area in self.areas:
            for run in area.runs:
                digest.update(f"{run.first:x} {run.last:x} {run.source}".encode())
            digest.update(repr(area.copies).encode())
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
            copied_pages=sum(last - first for area in self.areas for first, last in area.copies),
            lazy_pages=pages(Source.LAZY),
            zero_pages=zero,
            blocks=blocks,
            plan_size=plan_size,
            packed_size=packed_size,
            raw_size=raw_size,
            foreign_allocator=self.foreign,
        )


def _limit_ns(context: Mapping[str, object]) -> int:
    """The whole thaw's limit is the restore's, too: what is left of it is the wake's (`runtime.patience`)."""
    cold_init_s = context.get("cold_init_s", names.INIT_LIMIT_S / 2)
    assert isinstance(cold_init_s, float)
    return round(watchdog.total_s(None, cold_init_s) * 1e9)


def _members(context: Mapping[str, object]) -> bytes:
    """JSON members without the braces, to be put behind the restorer's own."""
    text = json.dumps(dict(context), ensure_ascii=True)[1:-1]
    return text.encode()
