"""Hot pages of libraries come from the page cache where it has them, else from copies in the packed pages."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import pytest
from quickthaw import names
from quickthaw.plan import layout
from quickthaw.plan.hot import HotSet
from quickthaw.plan.tables import resealed, rows

from tests.conftest import absent

from .conftest import Freezer, Frozen, Thawed, Thawer

pytestmark = [pytest.mark.criu, pytest.mark.sandbox]
LIBRARY = "/tmp/site/library.so"
PAGES = 400  # more than readahead fetches at a file's beginning


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A file that nobody else maps, privately mapped by a module beside it; on disk."""
    site = tmp_path / "site"
    site.mkdir()
    path = site / "library.so"
    path.write_bytes(b"".join(bytes([number % 251 + 1]) * names.PAGE_SIZE for number in range(PAGES)))
    with path.open("rb") as file:
        os.fsync(file.fileno())
    (site / "maps_privately.py").write_text(
        f"import mmap\nwith open('{LIBRARY}', 'rb') as file:\n"
        "    data = mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)\n"
    )
    for place in (tmp_path, site):
        place.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("old", "new"), [("\n", "\n"), (" | mmap.PROT_EXEC", ""), ("", "data.madvise(mmap.MADV_DONTFORK)\n")]
)
def test_only_what_is_run_and_handed_to_children_is_copied(
    freeze_victim: Freezer, python: Path, library: Path, tmp_path: Path, old: str, new: str
) -> None:
    """A copy is handed to them, and is zeros after MADV_DONTNEED, which data may be given up by."""
    module = library.parent / "maps_privately.py"
    text = module.read_text()
    module.write_text(text.replace(old, new) if old else text + new)
    frozen = freeze_victim(python, "maps_privately", site=library.parent)
    first = first_page(frozen)
    hot = HotSet(frozenset(range(first, first + PAGES)))
    copied = frozen.plan(tmp_path / "snapshot", "hot", hot=hot).copied_pages
    assert copied == (PAGES if old == new else 0)


@pytest.fixture
def frozen(freeze_victim: Freezer, python: Path, library: Path) -> Frozen:
    return freeze_victim(python, "maps_privately", site=library.parent)


@pytest.fixture
def snapshot(frozen: Frozen, tmp_path: Path) -> Path:
    """Every fourth pair of the file's pages is hot, and nothing else is."""
    first = first_page(frozen)
    hot = frozenset(page for page in range(first, first + PAGES) if (page - first) % 8 < 2)
    out = tmp_path / "snapshot"
    assert frozen.plan(out, "hot", hot=HotSet(hot)).copied_pages == PAGES // 4
    return out


def first_page(frozen: Frozen) -> int:
    vmas = [vma for vma in frozen.process.mm.vmas if vma.shmid and frozen.process.path(vma.shmid) == LIBRARY]
    assert len(vmas) == 1
    return vmas[0].start // names.PAGE_SIZE


def held(thawed: Thawed, first: int) -> tuple[list[bytes], list[bool]]:
    """The first byte of each page, and whether the page is the file's own: proc(5), pagemap, bit 61."""
    thawed.until_held()
    with (
        open(f"/proc/{thawed.process.pid}/mem", "rb", 0) as memory,
        open(f"/proc/{thawed.process.pid}/pagemap", "rb") as pagemap,
    ):
        contents = [os.pread(memory.fileno(), 1, (first + page) * names.PAGE_SIZE) for page in range(PAGES)]
        pagemap.seek(first * 8)
        entries = [entry for (entry,) in struct.iter_unpack("<Q", pagemap.read(PAGES * 8))]
    assert all(entry >> 63 for entry in entries)
    return contents, [bool(entry >> 61 & 1) for entry in entries]


@pytest.mark.parametrize(("words", "own"), [("cached", True), ("copied", False)])
def test_hot_pages_of_a_library_are_its_own_or_copies(
    frozen: Frozen, snapshot: Path, thaw: Thawer, words: str, own: bool
) -> None:
    first = first_page(frozen)
    with thaw(frozen, snapshot, words=f"hold,{words}") as thawed:
        contents, files = held(thawed, first)
    assert contents == [bytes([number % 251 + 1]) for number in range(PAGES)]
    assert files == [own or number % 8 >= 2 for number in range(PAGES)]


@pytest.mark.parametrize(("words", "random"), [("cached", False), ("copied", True)])
def test_readahead_of_lazy_pages_is_off_where_it_would_read(
    frozen: Frozen, snapshot: Path, thaw: Thawer, words: str, random: bool
) -> None:
    """A call for each of thousands of mappings is a millisecond.  proc(5), VmFlags: rr, random reads."""
    with thaw(frozen, snapshot, words=f"hold,{words}") as thawed:
        thawed.until_held()
        smaps = Path(f"/proc/{thawed.process.pid}/smaps").read_text()
    flags, lazy = [], False
    for line in smaps.splitlines():
        name, _, rest = line.partition(" ")
        if not name.endswith(":"):
            lazy = rest.endswith("/pages.raw")
        elif name == "VmFlags:" and lazy:
            flags.append("rr" in rest.split())
    assert flags and set(flags) == {random}


def test_what_is_not_decoded_is_not_read(frozen: Frozen, snapshot: Path, thaw: Thawer) -> None:
    answers = {words: timings(thaw, frozen, snapshot, words) for words in ("cached", "copied")}
    assert {words: answer["libraries"] for words, answer in answers.items()} == {
        "cached": "cached",
        "copied": "copied",
    }
    plan = (snapshot / names.NATIVE / "plan").read_bytes()
    copies = rows(plan, layout.BLOCK)[head(plan, "copy_block") :]
    assert copies
    assert answers["copied"]["bytes_read"] - answers["cached"]["bytes_read"] == sum(
        block["packed"] for block in copies
    )


def test_a_library_that_the_page_cache_does_not_have_is_copied(
    frozen: Frozen, snapshot: Path, thaw: Thawer, library: Path
) -> None:
    """And is not, where it has it: of ten thaws one at least is not interrupted while it looks."""
    for _ in range(3):
        if not evicted(library):
            absent("files of this directory cannot be taken out of the page cache")
        assert timings(thaw, frozen, snapshot)["libraries"] == "copied"
    library.read_bytes()
    assert "cached" in {timings(thaw, frozen, snapshot)["libraries"] for _ in range(10)}


def evicted(path: Path) -> bool:
    """Whether none of it is in the page cache any more: preadv2(2), RWF_NOWAIT."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        for page in range(0, PAGES, 50):
            try:
                os.preadv(file.fileno(), [bytearray(1)], page * names.PAGE_SIZE, os.RWF_NOWAIT)
                return False
            except BlockingIOError:
                continue
            except OSError:  # a file system that cannot tell
                return False
    return True


def timings(thaw: Thawer, frozen: Frozen, snapshot: Path, words: str = "") -> dict[str, Any]:
    with thaw(frozen, snapshot, words=words, modules=("maps_privately",)) as thawed:
        found: dict[str, Any] = thawed.answer()["context"]["timings"]
    return found


def head(plan: bytes, field: str) -> int:
    value = layout.HEADER.unpack(plan)[field]
    assert isinstance(value, int)
    return value


def changed(plan: bytes, record: layout.Record | None, field: str, by: int) -> bytes:
    """The plan with a number of the header, or of the first row of a table, raised; its checksum is right."""
    if record is None:
        at = layout.HEADER.offset(field)
    else:
        at = head(plan, f"tables[{layout.TABLES.index(record)}].offset") + record.offset(field)
    size = struct.calcsize(dict((record or layout.HEADER).fields)[field])
    value = int.from_bytes(plan[at : at + size], "little") + by
    return resealed(plan[:at] + value.to_bytes(size, "little") + plan[at + size :])


@pytest.mark.parametrize(
    ("record", "field", "by", "reason"),
    [
        (layout.COPY, "size", PAGES * names.PAGE_SIZE, "a range is not mapped"),
        (layout.COPY, "start", 9 * names.PAGE_SIZE, "a mapping is impossible"),
        (layout.COPY, "start", names.PAGE_SIZE, "pages are to be filled where nothing can be written"),
        (layout.COPY, "prot", 4, "a mapping is impossible"),
        (layout.COPY, "flags", 0x4000, "a mapping is impossible"),
        (layout.PROBE, "file", 10_000, "a mapping has no file"),
        (None, "copy_block", 1_000, "a table lies outside"),
        (None, "copy_block", 1, "pages are to be filled where nothing can be written"),
        (None, "copy_protect", 1_000, "a table lies outside"),
    ],
)
def test_a_plan_that_copies_to_a_wrong_place_declines(
    frozen: Frozen,
    snapshot: Path,
    thaw: Thawer,
    record: layout.Record | None,
    field: str,
    by: int,
    reason: str,
) -> None:
    path = snapshot / names.NATIVE / "plan"
    path.write_bytes(changed(path.read_bytes(), record, field, by))
    with thaw(frozen, snapshot, words="copied", modules=("maps_privately",)) as thawed:
        assert thawed.declined() == f"the plan is damaged: {reason}"
