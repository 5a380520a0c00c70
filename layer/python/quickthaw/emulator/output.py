"""What the function prints: one pipe for both streams, so that the order of lines is kept."""

from __future__ import annotations

import os
from collections.abc import Callable

MAX_LINE_BYTES = 256 * 1024  # a CloudWatch log event holds no more


class Output:
    """The read end of the function's stdout and stderr, cut into lines."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._read, self.write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._read, False)
        self._on_line = on_line
        self._rest = b""

    def fileno(self) -> int:
        """Polls readable when there is something to drain."""
        return self._read

    def close(self) -> None:
        """Close both ends."""
        os.close(self._read)
        os.close(self.write_end)

    def drain(self, *, flush: bool = False) -> None:
        """Take what is in the pipe now; with `flush` an unfinished line counts as a line."""
        while True:
            try:
                data = os.read(self._read, 1 << 16)
            except BlockingIOError:
                break
            if not data:
                break
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                self._on_line(line.decode(errors="replace"))
            if len(self._rest) > MAX_LINE_BYTES:
                flush = True
        if flush and self._rest:
            line, self._rest = self._rest, b""
            self._on_line(line.decode(errors="replace"))
