"""The frozen process's vdso: where it was, its bytes, and the functions it offers.

The addresses of vdso functions stand in the process's relocated pointers
(glibc resolves ``time`` and ``gettimeofday`` once), so the thawed process
must find code at the same places.  Where the thawing kernel has the same
vdso, it is moved there; where not, the old bytes are put back and each
function becomes a jump into the new one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from quickthaw.criuimg import PageStore, Process
from quickthaw.criuimg.records import AREA_VDSO, AREA_VVAR
from quickthaw.errors import BadSnapshot
from quickthaw.names import PAGE_SIZE

_SHT_DYNSYM = 11
_STT_FUNC = 2


@dataclass(frozen=True, kw_only=True)
class Vdso:
    """Addresses in bytes; `symbols` maps a function's name to its offset."""

    start: int
    size: int
    vvar_start: int
    vvar_size: int
    image: bytes
    symbols: dict[str, int]


def of_process(process: Process, store: PageStore) -> Vdso:
    """Read the vdso out of the dumped pages.

    Raises:
        BadSnapshot: there is none, or its pages were not dumped.
    """
    areas = [vma for vma in process.mm.vmas if vma.status & AREA_VDSO]
    data = [vma for vma in process.mm.vmas if vma.status & AREA_VVAR]
    if len(areas) != 1 or not data:
        raise BadSnapshot("the dump has no vdso", hint="make the snapshot on a kernel with a vdso")
    area = areas[0]
    pages = range(area.start // PAGE_SIZE, area.end // PAGE_SIZE)
    image = b"".join(bytes(store.page(page)) if page in store else bytes(PAGE_SIZE) for page in pages)
    if image[:4] != b"\x7fELF":
        raise BadSnapshot("the dump holds no vdso code", hint="make the snapshot again with CRIU 4 or newer")
    first, last = min(vma.start for vma in data), max(vma.end for vma in data)
    if last != area.start:
        raise BadSnapshot("the vdso does not follow its data", hint="make the snapshot on a mainline kernel")
    return Vdso(
        start=area.start,
        size=area.end - area.start,
        vvar_start=first,
        vvar_size=last - first,
        image=image,
        symbols=_functions(image),
    )


def _functions(image: bytes) -> dict[str, int]:
    """Name and offset of every exported function, from the section headers."""
    table, count = struct.unpack_from("<Q", image, 40)[0], struct.unpack_from("<H", image, 60)[0]
    sections = [struct.unpack_from("<IIQQQQIIQQ", image, table + 64 * number) for number in range(count)]
    found = {}
    for section in sections:
        if section[1] != _SHT_DYNSYM:
            continue
        strings = sections[section[6]][4]
        for at in range(section[4], section[4] + section[5], 24):
            name, info, _other, index, value, _size = struct.unpack_from("<IBBHQQ", image, at)
            if index and info & 15 == _STT_FUNC:
                begin = strings + name
                found[image[begin : image.index(b"\0", begin)].decode()] = value
    return found
