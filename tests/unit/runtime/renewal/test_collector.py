"""The garbage collector after a thaw: the first full collection takes back what was put out of its sight."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
HEAD = """
import gc, weakref
from quickthaw.runtime.renewal import collector, heap

FINALIZED = []
class Node:
    def __init__(self, name):
        self.me = self
        weakref.finalize(self, FINALIZED.append, name)
def drop(name):
    Node(name)
KEPT = [Node("kept")]
CALLS = []
def first(phase, info): CALLS.append(("first", phase, info["generation"]))
def last(phase, info): CALLS.append(("last", phase, info["generation"]))
"""
BODIES = {
    "by hand": """
collector.settle()
assert FINALIZED == [] and gc.get_freeze_count() > 1000
KEPT.clear()
gc.collect(1)
assert FINALIZED == [] and len(gc.callbacks) == 1
gc.collect()
assert FINALIZED == ["kept"] and gc.callbacks == [] and not heap.frozen()
""",
    "by itself": """
gc.set_threshold(10, 2, 2)
collector.settle()
KEPT.clear()
pile = []
while not FINALIZED:
    pile.append([pile])
assert gc.callbacks == []
""",
    "more than once": """
collector.settle()
drop("between")
collector.settle()
assert FINALIZED == ["between"] and len(gc.callbacks) == 1
gc.collect()
collector.settle()
assert gc.get_freeze_count() > 1000 and len(gc.callbacks) == 1
KEPT.clear()
gc.collect()
assert FINALIZED == ["between", "kept"]
""",
    "beside the function's own": """
gc.callbacks.append(first)
collector.settle()
gc.callbacks.append(last)
del CALLS[:]
gc.collect()
assert CALLS == [(name, phase, 2) for phase in ("start", "stop") for name in ("first", "last")], CALLS
""",
    "not where the function froze": """
gc.freeze()
collector.settle()
assert gc.callbacks == []
collector.settle()
KEPT.clear()
gc.collect()
assert FINALIZED == [] and gc.callbacks == [] and heap.frozen()
""",
    "not for what the collector itself put aside": """
gc.collect()
assert not heap.frozen() and any(thing is KEPT for thing in heap.objects())
gc.freeze()
assert heap.frozen() and any(thing is KEPT for thing in heap.objects())
""",
}


@pytest.mark.parametrize("body", BODIES)
def test_the_first_full_collection_sees_everything_again(body: str, each_python: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "layer" / "python")}
    done = subprocess.run(
        [each_python, "-c", HEAD + BODIES[body]], env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
