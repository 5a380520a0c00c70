"""plan.h and plan/layout.py spell the same bytes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from quickthaw.plan import layout

ROOT = Path(__file__).resolve().parents[3]
RECORDS = (layout.HEADER, layout.PAGES_HEADER, *layout.TABLES)
CONSTANTS = {
    "PLAN_MAGIC": layout.MAGIC,
    "PAGES_MAGIC": layout.PAGES_MAGIC,
    "PLAN_VERSION": layout.VERSION,
    "PLAN_MACHINE": layout.MACHINE_X86_64,
    "AREA_PACKED": layout.AREA_PACKED,
    "SAMPLE_ROOM": layout.SAMPLE_ROOM,
    "FILE_NONE": layout.FILE_NONE & (1 << 64) - 1,
    "FILE_RAW": layout.FILE_RAW & (1 << 64) - 1,
    "THREAD_PATCH_TID": layout.THREAD_PATCH_TID,
    "TABLE_COUNT": len(layout.TABLES),
    **{f"LAYOUT_{name.upper()}": number for name, number in layout.LAYOUTS.items()},
    **{name: value for name, value in vars(layout).items() if name.startswith(("OBJECT_", "ENTRY_"))},
}


@pytest.fixture(scope="module")
def spelled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """What a compiler makes of plan.h: sizes, offsets and constants."""
    lines = ["#include <stdio.h>", "#include <stddef.h>", '#include "plan.h"', "int main(void) {"]
    for record in RECORDS:
        lines.append(f'printf("{record.name} %zu\\n", sizeof(struct {record.name}));')
        for field, _ in record.fields:
            lines.append(f'printf("{record.name}.{field} %zu\\n", offsetof(struct {record.name}, {field}));')
    for name in CONSTANTS:
        lines.append(f'printf("{name} %llu\\n", (unsigned long long)({name}));')
    lines.append("return 0; }")
    out = tmp_path_factory.mktemp("layout")
    (out / "print.c").write_text("\n".join(lines))
    include = str(ROOT / "layer" / "native")
    subprocess.run(["cc", "-std=c11", "-I", include, "-o", out / "print", out / "print.c"], check=True)
    text = subprocess.run([out / "print"], check=True, capture_output=True, text=True).stdout
    return {name: int(value) for name, value in (line.split() for line in text.splitlines())}


def test_every_record_has_the_size_that_c_gives_it(spelled: dict[str, int]) -> None:
    assert {record.name: record.size for record in RECORDS} == {
        record.name: spelled[record.name] for record in RECORDS
    }


def test_every_field_lies_where_c_puts_it(spelled: dict[str, int]) -> None:
    ours = {
        f"{record.name}.{field}": record.offset(field) for record in RECORDS for field, _ in record.fields
    }
    assert ours == {name: spelled[name] for name in ours}


def test_every_constant_has_the_value_that_c_gives_it(spelled: dict[str, int]) -> None:
    assert {name: spelled[name] for name in CONSTANTS} == CONSTANTS


def test_a_record_refuses_a_field_it_does_not_have() -> None:
    with pytest.raises(KeyError):
        layout.MAP.pack(begin=1)


def test_a_record_unpacks_what_it_packed() -> None:
    data = layout.MAP.pack(start=1 << 40, size=4096, file=-1, prot=5)
    assert layout.MAP.unpack(data) == {
        "start": 1 << 40,
        "size": 4096,
        "offset": 0,
        "prot": 5,
        "flags": 0,
        "file": -1,
        "advice": 0,
    }
