"""Opens logs: files, directories, standard input; plain, gzipped, UTF-16.

Place in the flow: the local way in; `cloudwatch` is the other one.

A directory stands for all files below it in order of their names, since that
is what an export to S3 looks like (`<stream>/000000.gz`).  UTF-16 is what
Windows PowerShell writes with `>`.  Bytes are handed on in pieces, never a
whole file, and `progress` hears of every piece read from disk.
"""

from __future__ import annotations

import codecs
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from ..errors import UsageError
from .ledger import Ledger
from .scan import Scanner

_PIECE = 1 << 20  # bytes; larger pieces were not faster


def files(source: str) -> list[Path]:
    """The files that `source` stands for; empty for `-`, standard input.

    Raises:
        UsageError: no such path, or a directory without files.
    """
    if source == "-":
        return []
    path = Path(source)
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
        if not found:
            raise UsageError(f"no log in {source}", hint="The directory holds no file.")
        return found
    if not path.exists():
        raise UsageError(
            f"no such log: {source}",
            hint="Give a file, a directory or - for standard input; log groups go with --log-group.",
        )
    return [path]


def size(source: str) -> int:
    """Bytes on disk behind `source`; 0 for standard input."""
    return sum(path.stat().st_size for path in files(source))


def read(source: str, progress: Callable[[int], None] = lambda _: None) -> Ledger:
    """Reads a whole log into a ledger.

    Args:
        source: path or `-`.
        progress: called with the number of bytes just read.

    Raises:
        UsageError: the log cannot be opened or read.
    """
    ledger, scanner = Ledger(source), Scanner()
    add = ledger.add
    try:
        if source == "-":
            for entry in scanner.chunks(_pieces(sys.stdin.buffer, progress)):
                add(entry)
        for path in files(source):
            with path.open("rb") as file:
                for entry in scanner.chunks(_pieces(file, progress)):
                    add(entry)
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(
            f"cannot read {source}: {error}", hint="Check the path and its permissions."
        ) from error
    ledger.lines, ledger.malformed = scanner.lines, scanner.malformed
    ledger.problems, ledger.functions = scanner.problems, scanner.functions
    return ledger


def _pieces(file: IO[bytes], progress: Callable[[int], None]) -> Iterator[bytes]:
    first = file.read(_PIECE)
    pieces = _raw(first, file, progress)
    if first.startswith(b"\x1f\x8b"):
        yield from _unzipped(pieces)
    elif first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        decoder = codecs.getincrementaldecoder("utf-16")("replace")
        for piece in pieces:
            yield decoder.decode(piece).encode()
    else:
        yield from pieces


def _raw(first: bytes, file: IO[bytes], progress: Callable[[int], None]) -> Iterator[bytes]:
    piece = first  # read already, and standard input cannot be rewound
    while piece:
        progress(len(piece))
        yield piece
        piece = file.read(_PIECE)


def _unzipped(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Gunzips, member after member, with bounded output per step."""
    member = zlib.decompressobj(31)
    for piece in pieces:
        while piece:
            if member.eof:
                member = zlib.decompressobj(31)
            yield member.decompress(piece, _PIECE)
            piece = member.unused_data if member.eof else member.unconsumed_tail
    if not member.eof:
        raise EOFError("the gzip file ends early")
