"""Threads that are frozen in the middle of a computation, with live vector registers."""

import ctypes
import os
import random
import threading
from collections.abc import Iterator
from typing import Any

SIZE = 32 * 64 + 8 * 8  # 32 vector registers, 8 masks
WIDTHS = os.environ.get("VICTIM_WIDTHS", "half").split(",")


class Spinner:
    """One thread in one of registers.c's loops."""

    def __init__(self, library: ctypes.CDLL, width: str, number: int) -> None:
        self.width = width
        self.flags = (ctypes.c_uint32 * 2)()
        self.pattern = random.Random(number).randbytes(SIZE)
        self.out = ctypes.create_string_buffer(SIZE)
        spin = getattr(library, f"spin_{width}")
        # ctypes gives the GIL away for the call, so the main thread goes on.
        self.thread = threading.Thread(target=spin, args=(self.flags, self.pattern, self.out), daemon=True)
        self.thread.start()
        while not self.flags[0]:
            pass

    def problem(self) -> str | None:
        """Let it go on, and compare what its registers hold."""
        self.flags[1] = 1
        self.thread.join(10)
        if self.thread.is_alive():
            return "the thread does not go on"
        parts = {f"register {at}": (64 * at, 64) for at in range(32)}
        parts |= {f"mask {at}": (2048 + 8 * at, 2) for at in range(1, 8)}
        if self.width == "half":
            parts = {f"register {at}": (64 * at, 32) for at in range(16)}
        wrong = [
            name
            for name, (at, size) in parts.items()
            if self.out.raw[at : at + size] != self.pattern[at : at + size]
        ]
        return f"lost: {', '.join(wrong)}" if wrong else None


spinners: list[Any] = []


def hold() -> None:
    """One thread for each width, two of the widest: a frame of one must not be another's."""
    library = ctypes.CDLL("/tmp/site/registers.so")
    spinners.extend(Spinner(library, width, number) for number, width in enumerate([*WIDTHS, WIDTHS[-1]]))


def check() -> Iterator[tuple[str, str | None]]:
    """What each thread finds in its registers."""
    for number, spinner in enumerate(spinners):
        yield f"{number} {spinner.width}", spinner.problem()
