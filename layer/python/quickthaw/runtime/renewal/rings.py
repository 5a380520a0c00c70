"""libuv (in uvloop) does without io_uring while the function is imported, as it does on Lambda.

libuv makes a ring for each event loop wherever the kernel gives it one.
Lambda's filter does not, and no snapshot gives a ring back; the sandbox of the
freeze has no filter, because CRIU would dump it and may not put it on again.
So the library's own import of syscall(2) fails for io_uring_setup, from the
moment it has been loaded, and goes on doing so in the thawed process.

Rejected: UV_USE_IO_URING=0, which newer versions heed for one of two rings only.
"""

from __future__ import annotations

import ctypes
import os
from importlib.machinery import ExtensionFileLoader
from types import CodeType

from quickthaw.runtime.renewal import clock, imported, machine, watch

_LIBUV = b"UV_USE_IO_URING"  # stands in every object that has libuv inside
_IO_URING_SETUP = 425  # asm/unistd_64.h


def begin() -> None:
    """Begins to look at what is loaded; call before the function is imported."""
    if not clock.unsupported():
        watch.swap("create_module", ExtensionFileLoader, _create_module_code())


def _create_module_code() -> CodeType:
    def create_module(self, spec):  # type: ignore[no-untyped-def]
        from quickthaw.runtime.renewal import rings, watch

        module = watch.originals["create_module"](self, spec)
        rings.loaded(spec.origin)
        return module

    return create_module.__code__


def loaded(path: str) -> None:
    """An extension module was loaded from a file."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError:
        return
    if _LIBUV not in content:
        return
    slots = imported.slots(("syscall",), of=os.fspath(path)).get("syscall", [])
    if slots:
        original = imported.address(ctypes.CDLL(None).syscall)
        (stand_in,) = imported.executable([machine.refusing(original, _IO_URING_SETUP)])
        imported.put(slots, stand_in)
