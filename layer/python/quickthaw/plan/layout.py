"""The byte layout of ``native/plan``, spelt once on the Python side; ``layer/native/plan.h`` spells it in C.

A plan is a fixed header, tables of fixed-size records and one data region
that records point into.  All numbers are little endian, every table starts
at a multiple of eight.  The XXH32 of the whole file (its own field zero)
stands in the header.  A test compiles a program that prints every size and
offset of ``plan.h`` and compares them with this module, so the two cannot
drift apart; VERSION changes whenever either does.

Rejected: JSON or protobuf, which the restorer would have to parse; and
pointers fixed up at load, which would make a damaged plan hard to check.
"""

from __future__ import annotations

import struct
from typing import Final

MAGIC: Final = int.from_bytes(b"QTPLAN\r\n", "little")
PAGES_MAGIC: Final = int.from_bytes(b"QTPAGE\r\n", "little")
VERSION: Final = 8
MACHINE_X86_64: Final = 62  # EM_X86_64, elf.h

# The restorer's own area of the address space, relative to Header.area.
AREA_DEFAULT: Final = (
    0x6000_0000_0000  # between the heap of a PIE and the highest libraries: free in practice
)
AREA_PACKED: Final = 1 << 30  # the packed pages are mapped here, as the last thing in the area
SAMPLE_ROOM: Final = 1 << 15  # most bytes of a file that are compared as one sample

# Layouts, the word that the log line shows as mode.
LAYOUTS: Final = {"lz4": 1, "lazy": 2, "hot": 3}

# PlanMap.file and special values.
FILE_NONE: Final = -1  # anonymous memory
FILE_RAW: Final = -2  # pages.raw
FILE_OBJECT: Final = -3  # object 0; -4: object 1 ...

# PlanThread.flags
THREAD_PATCH_TID: Final = 1  # the word at clear_tid holds the thread id

# PlanObject.kind
OBJECT_HELD: Final = 0  # made by the record before it (other end of a pair)
OBJECT_INHERITED: Final = 1  # a duplicate of descriptor `a` of the restorer
OBJECT_FILE: Final = 2  # open(path, flags), position a, mode b (0: not known)
OBJECT_PIPE: Final = 3  # pipe2(flags), capacity a, then its unread data; the next record is its write end
OBJECT_EVENTFD: Final = 4  # counter a
OBJECT_EPOLL: Final = 5
OBJECT_SOCKETPAIR: Final = 6  # socketpair(AF_UNIX, type a), shut b, SO_SNDBUF c, SO_RCVBUF d; then its peer
OBJECT_TIMERFD: Final = 7  # clock a, value b ns, interval c ns, expirations not yet read d
OBJECT_SIGNALFD: Final = 8  # mask a
OBJECT_MEMFD: Final = 9  # contents of a memfd: name = path, size a, seals b
OBJECT_TMPFILE: Final = 10  # contents of an unlinked file: size a, mode b
OBJECT_SOCKET: Final = 11  # socket(a, b, c) without a peer; data: d options, then its address or nothing
OBJECT_FIFO: Final = 12  # open(path, O_RDWR), then its unread data

OBJECT_AGAIN: Final = 13  # object b opened once more (same contents, own position a and flags)

# PlanEntry.kind, what an import left in /tmp
ENTRY_DIRECTORY: Final = 1
ENTRY_FILE: Final = 2
ENTRY_LINK: Final = 3  # data: the target, with its NUL
ENTRY_FIFO: Final = 4
ENTRY_SAME: Final = 5  # another name of the file at the path that is its data, with its NUL

PIECE: Final = (("offset", "I"), ("size", "I"))  # struct plan_piece: bytes in the data region


class Record:
    """One C struct: its name, its fields as (C member path, struct code), and how to pack it."""

    def __init__(self, name: str, fields: tuple[tuple[str, str], ...]) -> None:
        self.name = name
        self.fields = fields
        self._struct = struct.Struct("<" + "".join(code for _, code in fields))
        self.size = self._struct.size

    def pack(self, **values: int | bytes) -> bytes:
        """The record's bytes; fields not named are zero.

        Raises:
            struct.error: a value does not fit its field.
            KeyError: no such field.
        """
        known = {name for name, _ in self.fields}
        for name in values:
            if name.replace("__", ".") not in known:
                raise KeyError(f"{self.name} has no field {name}")
        given = {name.replace("__", "."): value for name, value in values.items()}
        return self._struct.pack(
            *(given.get(name, b"" if code.endswith("s") else 0) for name, code in self.fields)
        )

    def unpack(self, data: bytes | memoryview, at: int = 0) -> dict[str, int | bytes]:
        """The fields of the record at an offset."""
        return dict(zip((name for name, _ in self.fields), self._struct.unpack_from(data, at), strict=True))

    def offset(self, field: str) -> int:
        """Byte offset of a field."""
        at = 0
        for name, code in self.fields:
            if name == field:
                return at
            at += struct.calcsize("<" + code)
        raise KeyError(field)


def _piece(name: str) -> tuple[tuple[str, str], ...]:
    return tuple((f"{name}.{field}", code) for field, code in PIECE)


FILE: Final = Record(
    "plan_file",
    (
        *_piece("path"),
        ("size", "Q"),
        ("mtime_ns", "q"),
        # Two samples that recognise the file when its time differs: its build-id, else both ends of it.
        ("sample[0].offset", "Q"),
        ("sample[0].size", "I"),
        ("sample[0].checksum", "I"),
        ("sample[1].offset", "Q"),
        ("sample[1].size", "I"),
        ("sample[1].checksum", "I"),
    ),
)
MAP: Final = Record(
    "plan_map",
    (
        ("start", "Q"),
        ("size", "Q"),
        ("offset", "Q"),
        ("prot", "I"),
        ("flags", "I"),
        ("file", "i"),
        ("advice", "I"),
    ),
)
BLOCK: Final = Record(
    "plan_block",
    (
        ("offset", "Q"),
        ("packed", "I"),
        ("size", "I"),
        ("segment", "I"),
        ("segments", "I"),
        ("checksum", "I"),
        ("taken", "I"),
    ),
)
SEGMENT: Final = Record("plan_segment", (("start", "Q"), ("size", "Q")))
TOUCH: Final = Record(  # lazy pages that will be touched
    "plan_touch", (("start", "Q"), ("size", "Q"), ("write", "I"), ("reserved", "I"))
)
PROTECT: Final = Record("plan_protect", (("start", "Q"), ("size", "Q"), ("prot", "I"), ("reserved", "I")))
THREAD: Final = Record(
    "plan_thread",
    (
        ("clear_tid", "Q"),
        ("fs_base", "Q"),
        ("gs_base", "Q"),
        ("robust", "Q"),
        ("rseq", "Q"),
        ("robust_size", "I"),
        ("rseq_size", "I"),
        ("rseq_signature", "I"),
        ("tid", "I"),
        ("flags", "I"),
        ("death_signal", "I"),
        *_piece("frame"),
        *_piece("vectors"),
        ("name", "16s"),
    ),
)
SIGACTION: Final = Record(
    "plan_sigaction", (("handler", "Q"), ("flags", "Q"), ("restorer", "Q"), ("mask", "Q"))
)
SYMBOL: Final = Record("plan_symbol", (*_piece("name"), ("offset", "Q")))
OBJECT: Final = Record(
    "plan_object",
    (
        ("kind", "I"),
        ("flags", "I"),
        *_piece("path"),
        *_piece("data"),
        ("a", "Q"),
        ("b", "Q"),
        ("c", "Q"),
        ("d", "Q"),
    ),
)
OPTION: Final = Record("plan_option", (("level", "i"), ("name", "i"), ("value", "i")))  # not a table
FD: Final = Record("plan_fd", (("fd", "I"), ("object", "I"), ("cloexec", "I"), ("reserved", "I")))
WATCH: Final = Record(
    "plan_watch", (("epoll", "I"), ("fd", "I"), ("events", "I"), ("reserved", "I"), ("data", "Q"))
)
LOCK: Final = Record(
    "plan_lock", (("fd", "I"), ("kind", "I"), ("type", "I"), ("reserved", "I"), ("start", "Q"), ("size", "Q"))
)
TIMER: Final = Record(
    "plan_timer",
    (
        ("id", "I"),
        ("clock", "i"),
        ("signal", "I"),
        ("notify", "I"),
        ("value", "Q"),
        ("thread", "I"),
        ("reserved", "I"),
        ("left_ns", "Q"),
        ("interval_ns", "Q"),
    ),
)

# Anonymous memory for hot pages of a library, over its mapping; where none of it is to be had for nothing.
COPY: Final = Record("plan_copy", (("start", "Q"), ("size", "Q"), ("prot", "I"), ("flags", "I")))
# A page of a library that tells whether the libraries are in the page cache.
PROBE: Final = Record("plan_probe", (("offset", "Q"), ("file", "I"), ("reserved", "I")))

ENTRY: Final = Record(
    "plan_entry", (("kind", "I"), ("mode", "I"), *_piece("path"), *_piece("data"), ("mtime_ns", "q"))
)

# In the order of enum plan_table_id.
TABLES: Final = (
    FILE,
    MAP,
    BLOCK,
    SEGMENT,
    PROTECT,
    THREAD,
    SIGACTION,
    SYMBOL,
    OBJECT,
    FD,
    WATCH,
    LOCK,
    TIMER,
    ENTRY,
    TOUCH,
    COPY,
    PROBE,
)

MM_FIELDS: Final = (
    "start_code",
    "end_code",
    "start_data",
    "end_data",
    "start_brk",
    "brk",
    "start_stack",
    "arg_start",
    "arg_end",
    "env_start",
    "env_end",
)  # struct prctl_mm_map, prctl(2); auxv, auxv_size and exe_fd are the restorer's
CPU_FIELDS: Final = (
    "leaf1_ecx",
    "leaf1_edx",
    "leaf7_ebx",
    "leaf7_ecx",
    "leaf7_edx",
    "leaf7_1_eax",
    "extended1_ecx",
    "extended1_edx",
)

HEADER: Final = Record(
    "plan_header",
    (
        ("magic", "Q"),
        ("version", "I"),
        ("header_size", "I"),
        ("size", "Q"),
        ("checksum", "I"),
        ("machine", "I"),
        ("tag", "Q"),
        ("area", "Q"),
        ("packed_size", "Q"),
        ("raw_size", "Q"),
        ("limit_ns", "Q"),
        ("layout", "I"),
        ("max_fd", "I"),
        *((f"cpu.{name}", "I") for name in CPU_FIELDS),
        ("cpu.xcr0", "Q"),
        ("vdso_start", "Q"),
        ("vdso_size", "Q"),
        ("vvar_start", "Q"),
        ("vvar_size", "Q"),
        *((f"mm.{name}", "Q") for name in MM_FIELDS),
        ("umask", "I"),
        ("membarrier", "I"),
        ("scratch_fd", "I"),
        ("thaw_fd", "I"),
        ("woke_fd", "I"),
        ("telemetry_fd", "I"),
        # The first ones that are for copies of library pages; all behind them are, too.
        ("copy_block", "I"),
        ("copy_protect", "I"),
        *(_piece("vdso")),
        *(_piece("auxv")),
        *(_piece("cwd")),
        *(_piece("context")),
        *(_piece("itimers")),
        *(
            field
            for number in range(len(TABLES))
            for field in (
                (f"tables[{number}].offset", "Q"),
                (f"tables[{number}].count", "I"),
                (f"tables[{number}].record_size", "I"),
            )
        ),
    ),
)

# First bytes of pages.lz4 and pages.raw: struct plan_pages_header, one page with the rest zero.
PAGES_HEADER: Final = Record("plan_pages_header", (("magic", "Q"), ("tag", "Q"), ("size", "Q")))
