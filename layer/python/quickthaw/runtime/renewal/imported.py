"""Where the interpreter keeps the addresses of functions that it imports (ELF, x86-64).

An object reaches a function of another one through a slot that the dynamic
linker fills.  The slots of the interpreter itself (the program, libpython, its
own extension modules) are found once, at the freeze; a thaw maps everything
to the same addresses.

Sources: System V ABI, AMD64 supplement; dl_iterate_phdr(3).
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

_PT_DYNAMIC, _PT_GNU_RELRO = 2, 0x6474E552
_DT_PLTRELSZ, _DT_STRTAB, _DT_SYMTAB, _DT_RELA, _DT_RELASZ, _DT_JMPREL = 2, 5, 6, 7, 8, 23
_R_GLOB_DAT, _R_JUMP_SLOT = 6, 7


class _Header(ctypes.Structure):  # Elf64_Phdr
    _fields_ = [
        *(("type", ctypes.c_uint32), ("flags", ctypes.c_uint32), ("offset", ctypes.c_uint64)),
        *(("vaddr", ctypes.c_uint64), ("paddr", ctypes.c_uint64), ("filesz", ctypes.c_uint64)),
        *(("memsz", ctypes.c_uint64), ("align", ctypes.c_uint64)),
    ]


class _Object(ctypes.Structure):  # struct dl_phdr_info, as far as needed
    _fields_ = [
        ("base", ctypes.c_uint64),
        ("name", ctypes.c_char_p),
        ("headers", ctypes.POINTER(_Header)),
        ("count", ctypes.c_uint16),
    ]


@dataclass(frozen=True)
class Slot:
    """One address word; `sealed` when the linker has made its page read-only."""

    address: int
    sealed: bool


def slots(names: Collection[str], *, of: str = "") -> dict[str, list[Slot]]:
    """The interpreter's slots of some functions, by name; a name without one is left out.

    Args:
        names: of functions.
        of: one shared object's path, instead of the whole interpreter.
    """
    found: dict[str, list[Slot]] = {}

    def visit(info: Any, _size: int, _data: Any) -> int:
        entry = info.contents
        name = os.fsdecode(entry.name or b"")
        if name == of if of else _is_interpreter(name):
            for symbol, slot in _of_object(entry):
                if symbol in names:
                    found.setdefault(symbol, []).append(slot)
        return 0

    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Object), ctypes.c_size_t, ctypes.c_void_p)
    ctypes.CDLL(None).dl_iterate_phdr(callback(visit), None)
    return found


def _is_interpreter(name: str) -> bool:
    # The program has no name.
    return not name or os.path.basename(name).startswith("libpython") or "/lib-dynload/" in name


def _of_object(entry: Any) -> Iterable[tuple[str, Slot]]:
    base, dynamic, sealed = entry.base, 0, (0, 0)
    for header in entry.headers[: entry.count]:
        if header.type == _PT_DYNAMIC:
            dynamic = base + header.vaddr
        elif header.type == _PT_GNU_RELRO:
            # The linker seals whole pages only.
            start, end = base + header.vaddr, base + header.vaddr + header.memsz
            sealed = (start & -mmap.PAGESIZE, end & -mmap.PAGESIZE)
    if not dynamic:
        return
    table = _dynamic(dynamic)

    def pointer(tag: int) -> int:
        value = table.get(tag, 0)
        return value if value >= base else value + base  # glibc has relocated them in place, musl has not

    for start, size in ((_DT_JMPREL, _DT_PLTRELSZ), (_DT_RELA, _DT_RELASZ)):
        if start not in table:
            continue
        words = (ctypes.c_uint64 * (table.get(size, 0) // 8)).from_address(pointer(start))
        for number in range(0, len(words), 3):  # Elf64_Rela: offset, info, addend
            if words[number + 1] & 0xFFFFFFFF in (_R_GLOB_DAT, _R_JUMP_SLOT):
                symbol = pointer(_DT_SYMTAB) + 24 * (words[number + 1] >> 32)
                text = pointer(_DT_STRTAB) + ctypes.c_uint32.from_address(symbol).value
                address = base + words[number]
                yield ctypes.string_at(text).decode(), Slot(address, sealed[0] <= address < sealed[1])


def _dynamic(address: int) -> dict[int, int]:
    """The dynamic section: tag -> value."""
    found = {}
    while tag := ctypes.c_uint64.from_address(address).value:
        found[tag] = ctypes.c_uint64.from_address(address + 8).value
        address += 16
    return found


def address(function: Any) -> int:
    """Where a ctypes function is."""
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def put(slots: Iterable[Slot], value: int) -> None:
    """Writes an address into slots.

    Raises:
        OSError: a page cannot be made writable; nothing was written to it.
    """
    for slot in slots:
        page = slot.address & -mmap.PAGESIZE
        if slot.sealed:
            protect(page, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE)
        ctypes.c_uint64.from_address(slot.address).value = value
        if slot.sealed:
            protect(page, mmap.PAGESIZE, mmap.PROT_READ)


def protect(start: int, size: int, protection: int) -> None:
    """mprotect(2).

    Raises:
        OSError: refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    if libc.mprotect(start, size, protection):
        raise OSError(ctypes.get_errno(), f"mprotect: {os.strerror(ctypes.get_errno())}")


def memory(size: int) -> int:
    """Maps memory of zeros that stays as long as the process; returns its address.

    Raises:
        OSError: there is none.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (
        *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long),
    )
    writable = mmap.PROT_READ | mmap.PROT_WRITE
    found = libc.mmap(None, size, writable, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    if found is None or found == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), f"mmap: {os.strerror(ctypes.get_errno())}")
    return int(found)


def executable(pieces: list[bytes]) -> list[int]:
    """Maps pieces of machine code, each at a multiple of 16; returns their addresses.

    Raises:
        OSError: the kernel refuses memory that is executable.
    """
    page = memory(mmap.PAGESIZE)
    places, at = [], page
    for piece in pieces:
        ctypes.memmove(at, piece, len(piece))
        places.append(at)
        at += -(-len(piece) // 16) * 16
    protect(page, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC)
    return places
