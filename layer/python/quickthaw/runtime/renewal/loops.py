"""Event loops that run in a thread while the process is frozen, on Python 3.11.

There asyncio writes the pid beside the running loop of a thread, to notice a
fork, and a thaw by the native engine has another pid: the coroutine's next
`await` would find "no running event loop".  The thread goes on before the wake
can do anything about it, so it is done at the freeze: asyncio's own import of
`getpid` keeps answering with the frozen pid, until a fork, after which it is
the real one again.  (Later versions reset the loop by an at-fork handler.)
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

from quickthaw.errors import CannotFreeze
from quickthaw.runtime.renewal import heap, imported


def settle() -> None:
    """Call before the freeze.

    Raises:
        CannotFreeze: a loop runs in a thread, and this interpreter's asyncio cannot be told.
    """
    asyncio: Any = sys.modules.get("asyncio")
    if asyncio is None or sys.version_info >= (3, 12):
        return
    # A loop may begin to run between here and the freeze, in any other thread.
    running = any(loop.is_running() for loop in heap.instances(asyncio.BaseEventLoop))
    if not running and len(sys._current_frames()) == 1:
        return
    slots = imported.slots(("getpid",), of=str(getattr(sys.modules.get("_asyncio"), "__file__", None)))
    if not slots:
        if not running:
            return  # it is not certain that there will be a loop to lose
        raise CannotFreeze(
            "an asyncio event loop runs in a thread, and this Python 3.11 would lose it",
            hint="Start the thread in an after-restore hook, or take Python 3.12.",
        )
    real = imported.address(ctypes.CDLL(None).getpid)
    (same,) = imported.executable(
        [b"\xb8" + os.getpid().to_bytes(4, "little") + b"\xc3"]
    )  # mov eax, pid; ret
    imported.put(slots["getpid"], same)
    os.register_at_fork(after_in_child=lambda: imported.put(slots["getpid"], real))
