"""The planner's small parts: checksums, tables, CPU words, hot sets, runs of pages."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quickthaw.errors import BadSnapshot
from quickthaw.plan import classify, cpu, hot, layout
from quickthaw.plan.checksum import xxh32
from quickthaw.plan.classify import Run, Source
from quickthaw.plan.hot import HotSet
from quickthaw.plan.tables import Tables, resealed, rows


@pytest.mark.parametrize(
    ("data", "expected"),
    # Test vectors of the xxHash specification and of its reference implementation.
    [
        (b"", 0x02CC5D05),
        (b"a", 0x550D7456),
        (b"abc", 0x32D153FF),
        (b"Nobody inspects the spammish repetition", 0xE2293B2F),
    ],
)
def test_the_checksum_is_xxh32(data: bytes, expected: int) -> None:
    assert xxh32(data) == expected


@given(st.binary(max_size=5000))
def test_the_checksum_of_incompressible_and_other_data_is_of_the_data(data: bytes) -> None:
    assert xxh32(data) == xxh32(bytearray(data))
    assert not data or xxh32(data) != xxh32(data[:-1]) or len(data) == 1


def test_a_sealed_plan_has_its_rows_and_a_checksum_over_all_of_it() -> None:
    tables = Tables()
    for number in range(3):
        tables.add(layout.SEGMENT, start=number * 4096, size=4096)
    tables.add(layout.SYMBOL, **tables.text("name", "time"), offset=16)
    plan = tables.seal(area=1 << 40)
    header = layout.HEADER.unpack(plan)
    assert (header["size"], header["area"]) == (len(plan), 1 << 40)
    assert [row["start"] for row in rows(plan, layout.SEGMENT)] == [0, 4096, 8192]
    symbol = rows(plan, layout.SYMBOL)[0]
    at, size = symbol["name.offset"], symbol["name.size"]
    assert isinstance(at, int) and isinstance(size, int)
    assert plan[at : at + size] == b"time\0"
    assert resealed(plan) == plan
    changed = plan[:-1] + bytes([plan[-1] ^ 1])
    assert resealed(changed) != changed


def test_equal_texts_are_stored_once() -> None:
    tables = Tables()
    assert tables.text("path", "/lib/x") == tables.text("path", "/lib/x")
    assert tables.text("path", "/lib/y") != tables.text("path", "/lib/x")


def test_cpu_flags_become_cpuid_bits() -> None:
    words = cpu.needed(["avx2", "sse4_2", "lm", "not_a_flag"])
    assert words == {"leaf7_ebx": 1 << 5, "leaf1_ecx": 1 << 20, "xcr0": 0b111}
    assert cpu.needed(["avx512f"])["xcr0"] == 0b1110_0111
    assert cpu.needed([]) == {}


def test_this_machine_has_the_features_it_says() -> None:
    flags = cpu.of_this_machine()
    assert {"sse2", "fxsr"} <= flags


@given(st.sets(st.integers(0, 1 << 35), max_size=200))
def test_a_hot_set_survives_its_file(tmp_path_factory: pytest.TempPathFactory, pages: set[int]) -> None:
    path = tmp_path_factory.mktemp("hot") / "hot"
    path.write_text(HotSet(frozenset(pages)).dumps())
    assert hot.read(path).pages == pages
    assert sum(count for _, count in hot.runs(pages)) == len(pages)


def test_a_damaged_hot_set_is_named(tmp_path: Path) -> None:
    (tmp_path / "hot").write_text("12 zz\n")
    with pytest.raises(BadSnapshot, match="hot"):
        hot.read(tmp_path / "hot")


SOURCES = st.lists(st.sampled_from(list(Source)), min_size=1, max_size=120)


@given(SOURCES, st.integers(0, 6))
def test_runs_cover_every_page_once_and_in_order(sources: list[Source], gap: int) -> None:
    runs = classify._runs(sources, 1000, gap=gap, lazy_allowed=True)
    assert runs[0].first == 1000
    assert runs[-1].last == 1000 + len(sources)
    assert all(a.last == b.first and a.source is not b.source for a, b in zip(runs, runs[1:], strict=False))


@given(SOURCES, st.integers(0, 6))
def test_joining_never_loses_contents(sources: list[Source], gap: int) -> None:
    """EAGER and LAZY carry bytes; a page that needs them never becomes ZERO or FILE."""
    for run in classify._runs(sources, 0, gap=gap, lazy_allowed=True):
        for page in range(run.first, run.last):
            if sources[page] in (Source.EAGER, Source.LAZY):
                assert run.source in (Source.EAGER, Source.LAZY)
            if sources[page] is Source.EAGER:
                assert run.source is Source.EAGER
            if sources[page] is Source.FILE:
                assert run.source in (Source.FILE, Source.EAGER)


@given(SOURCES)
def test_nothing_becomes_lazy_where_that_is_forbidden(sources: list[Source]) -> None:
    eager = [Source.EAGER if source is Source.LAZY else source for source in sources]
    runs = classify._runs(eager, 0, gap=4, lazy_allowed=False)
    assert all(run.source is not Source.LAZY for run in runs)


def test_a_short_lazy_run_is_filled_only_where_that_saves_a_mapping() -> None:
    """Filling what is read-only takes a mapping all the same, and a call more to protect it."""
    e, lazy, f = Source.EAGER, Source.LAZY, Source.FILE
    alone = [f, lazy, lazy, f]
    assert classify._runs(alone, 0, gap=1, lazy_allowed=True)[1] == Run(1, 3, e)
    assert classify._runs(alone, 0, gap=1, lazy_allowed=True, writable=False)[1] == Run(1, 3, lazy)
    assert classify._runs([e, lazy, e], 0, gap=1, lazy_allowed=True, writable=False) == [Run(0, 3, e)]


def test_a_short_gap_between_eager_pages_is_filled() -> None:
    e, f = Source.EAGER, Source.FILE
    assert classify._runs([e, e, f, f, e], 0, gap=2, lazy_allowed=True) == [Run(0, 5, e)]
    assert classify._runs([e, f, f, f, e], 0, gap=2, lazy_allowed=True) == [
        Run(0, 1, e),
        Run(1, 4, f),
        Run(4, 5, e),
    ]
