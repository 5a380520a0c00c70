"""Page contents of a dump: an address looked up in the page map, read from the raw pages file.

The pages file is CRIU's own ``pages-N.img`` (uncompressed), mapped read-only;
nothing is copied until a page is asked for.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from quickthaw.criuimg.process import PageMap
from quickthaw.criuimg.records import PAGE_IN_PARENT, PAGE_PRESENT
from quickthaw.errors import BadSnapshot
from quickthaw.names import PAGE_SIZE

_ZERO = bytes(PAGE_SIZE)


class PageStore:
    """The pages of one page map, by page number (address // 4096).

    Raises:
        BadSnapshot: the file's size does not fit the page map, or pages lie in a parent dump.
    """

    def __init__(self, pagemap: PageMap, path: Path) -> None:
        self.path = path
        self._index: dict[int, int] = {}
        offset = 0
        for run in pagemap.runs:
            if run.in_parent or run.flags & PAGE_IN_PARENT:
                raise BadSnapshot(
                    f"{path}: pages lie in a parent dump", hint="dump without --track-mem and parents"
                )
            if run.flags and not run.flags & PAGE_PRESENT:
                continue
            first = run.vaddr // PAGE_SIZE
            self._index.update(
                zip(range(first, first + run.pages), range(offset, offset + run.pages), strict=True)
            )
            offset += run.pages
        self._file = path.open("rb")
        size = path.stat().st_size
        if size != offset * PAGE_SIZE:
            self._file.close()
            raise BadSnapshot(
                f"{path} has {size} bytes, the page map says {offset * PAGE_SIZE}",
                hint="make the snapshot again",
            )
        self._map = mmap.mmap(self._file.fileno(), size, access=mmap.ACCESS_READ) if size else None
        self._view = memoryview(self._map) if self._map is not None else memoryview(b"")

    def __contains__(self, page: int) -> bool:
        return page in self._index

    def __len__(self) -> int:
        return len(self._index)

    def __iter__(self) -> Iterator[int]:
        return iter(self._index)

    def page(self, page: int) -> memoryview:
        """Contents of a page that is in the map, 4096 bytes; KeyError otherwise."""
        at = self._index[page] * PAGE_SIZE
        return self._view[at : at + PAGE_SIZE]

    def is_zero(self, page: int) -> bool:
        """Whether the page holds only zeros."""
        return bytes(self.page(page)) == _ZERO

    def close(self) -> None:
        """Unmap the file."""
        self._view.release()
        if self._map is not None:
            self._map.close()
        self._file.close()

    def __enter__(self) -> PageStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
