"""What the planner makes of a real process."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest
from quickthaw import criuimg, names
from quickthaw.criuimg import records as r
from quickthaw.plan import classify, layout
from quickthaw.plan.tables import rows
from quickthaw.snapshot import manifest

from tests.conftest import VICTIMS
from tests.conftest import Freezer as CheckpointFreezer

from .conftest import Freezer, Frozen, Thawer, hot_half

SMALL = VICTIMS / "small"
pytestmark = [pytest.mark.criu, pytest.mark.sandbox]


def lazy_ranges(snapshot: Path) -> list[tuple[int, int]]:
    """Anonymous memory that is mapped from pages.raw."""
    plan = (snapshot / names.NATIVE / "plan").read_bytes()
    found = [row for row in rows(plan, layout.MAP) if row["file"] == layout.FILE_RAW]
    return [(row["start"], row["start"] + row["size"]) for row in found]


def overlap(ranges: list[tuple[int, int]], others: list[tuple[int, int]]) -> bool:
    return any(a < d and c < b for a, b in ranges for c, d in others)


def unsafe(frozen: Frozen) -> list[tuple[int, int]]:
    process = frozen.process
    pages = frozen.images / f"pages-{process.pagemap.pages_id}.img"
    with criuimg.PageStore(process.pagemap, pages) as store:
        return classify.unsafe_ranges(process, store, None)


def test_thread_arenas_and_the_stack_are_never_mapped_from_a_file(
    freeze_victim: Freezer, python: Path, tmp_path: Path
) -> None:
    frozen = freeze_victim(python, "selftest")
    found = unsafe(frozen)
    arenas = [span for span in found if span[1] - span[0] == 64 << 20]
    assert arenas, "the victim's threads have allocated"
    assert all(start % (64 << 20) == 0 for start, _ in arenas)
    frozen.plan(tmp_path, "lazy")
    assert lazy_ranges(tmp_path)
    assert not overlap(lazy_ranges(tmp_path), found)


def test_another_allocator_keeps_anonymous_memory_out_of_the_page_file(
    freeze_victim: Freezer, python: Path, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "libother.so").write_bytes(b"\x7fELF" + bytes(5000) + b"<jemalloc>: out of memory\0")
    (site / "maps_a_library.py").write_text(
        "import mmap\nwith open('/tmp/site/libother.so', 'rb') as file:\n"
        "    data = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)\n"
    )
    for path in (tmp_path, site):
        path.chmod(0o755)
    frozen = freeze_victim(python, "maps_a_library", site=site)
    summary = frozen.plan(tmp_path / "snapshot", "lazy")
    assert summary.foreign_allocator == "/tmp/site/libother.so"
    anonymous = [
        (vma.start, vma.end)
        for vma in frozen.process.mm.vmas
        if vma.status & r.ANON_PRIVATE and vma.prot & mmap.PROT_WRITE and not vma.status & r.AREA_HEAP
    ]
    assert not overlap(lazy_ranges(tmp_path / "snapshot"), anonymous)


def test_the_hot_layout_reads_nothing_ahead_but_its_packed_pages(
    freeze_victim: Freezer, python: Path, tmp_path: Path
) -> None:
    """Readahead of pages that are not needed takes the disk from those that are."""
    frozen = freeze_victim(python, "integrity")
    for which, expected in (("hot", {2}), ("lazy", {0})):
        frozen.plan(tmp_path / which, which, hot=hot_half(frozen) if which == "hot" else None)
        plan = (tmp_path / which / names.NATIVE / "plan").read_bytes()
        lazy = [row["advice"] & 2 for row in rows(plan, layout.MAP) if row["file"] == layout.FILE_RAW]
        assert lazy and set(lazy) == expected, which  # bit 1: MADV_RANDOM


def test_each_read_only_vma_is_protected_by_one_call(
    freeze_victim: Freezer, python: Path, tmp_path: Path
) -> None:
    """A call for each of its filled pieces would be hundreds in the hot layout."""
    frozen = freeze_victim(python, "integrity")
    frozen.plan(tmp_path, "hot", hot=hot_half(frozen))
    plan = (tmp_path / names.NATIVE / "plan").read_bytes()
    protects = [(row["start"], row["start"] + row["size"]) for row in rows(plan, layout.PROTECT)]
    lent = [
        row["start"]
        for row in rows(plan, layout.MAP) + rows(plan, layout.COPY)
        if any(start <= row["start"] < end for start, end in protects) and row["prot"] & mmap.PROT_WRITE
    ]
    assert len(lent) > len(protects) > 0
    for vma in frozen.process.mm.vmas:
        assert sum(vma.start <= start < vma.end for start, _ in protects) <= 1
    assert all(
        any(vma.start <= start and end <= vma.end for vma in frozen.process.mm.vmas)
        for start, end in protects
    )


def test_auto_takes_the_page_file_only_within_the_budget(
    freeze_victim: Freezer, thaw: Thawer, python: Path, tmp_path: Path
) -> None:
    frozen = freeze_victim(python, "integrity")
    free = frozen.plan(tmp_path, "auto")
    size = sum(path.stat().st_size for path in (tmp_path / names.NATIVE).iterdir())
    assert (free.layout, free.size) == ("lazy", size)
    assert frozen.plan(tmp_path, "auto", budget=size).layout == "lazy"
    small = frozen.plan(tmp_path, "auto", budget=size - 1)
    assert (small.layout, small.raw_size) == ("lz4", 0)
    assert small.size == sum(path.stat().st_size for path in (tmp_path / names.NATIVE).iterdir()) < size / 2
    with thaw(frozen, tmp_path, modules=("integrity",)) as thawed:
        assert thawed.answer()["context"]["mode"] == "lz4"


def test_the_budget_of_a_checkpoint_decides_and_is_the_reason(
    freeze: CheckpointFreezer, tmp_path: Path
) -> None:
    out = freeze(SMALL, tmp_path / "snapshot", budget=3_000_000)
    native = manifest.read(str(out)).body["native"]
    assert native == {"layout": "lz4", "reason": "any other takes more than 3 MB"}


def test_the_same_images_give_the_same_plan(freeze_victim: Freezer, python: Path, tmp_path: Path) -> None:
    frozen = freeze_victim(python, "integrity")
    for name in ("one", "two"):
        frozen.plan(tmp_path / name, "lz4")
    for name in ("plan", "pages.lz4"):
        one, two = (tmp_path / which / names.NATIVE / name for which in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
