"""The kernel's numbers of threads, while threads start and end: in a process of its own, on each Python."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.conftest import ROOT

# A stack that is too large for glibc's cache is unmapped when its thread ends, the thread's record with it.
SCRIPT = """
import sys, threading, time
sys.path.insert(0, {package!r})
from quickthaw.runtime.renewal import identity

threading.stack_size(64 << 20)
sys.setswitchinterval(1e-6)
over, numbers = threading.Event(), []

def note():
    numbers.append(threading.get_native_id() == threading.current_thread().native_id)

def churn():
    while not over.is_set():
        threads = [threading.Thread(target=note) for _ in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()

churning = threading.Thread(target=churn)
churning.start()
try:
    until = time.monotonic() + 3
    while time.monotonic() < until:
        identity._threads()
        assert identity.native_ids()[threading.get_ident()] == threading.get_native_id()
finally:
    over.set()
    churning.join()
assert len(numbers) > 100 and all(numbers)
"""


def test_threads_may_end_while_their_numbers_are_asked_for(each_python: Path) -> None:
    script = SCRIPT.format(package=str(ROOT / "layer" / "python"))
    done = subprocess.run([each_python, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
