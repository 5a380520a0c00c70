"""The corrected clock in a process of its own, on each Python: every function, every kind of wait."""

from __future__ import annotations

import ctypes
import json
import subprocess
import time
from pathlib import Path

import pytest
from quickthaw.errors import Declined
from quickthaw.runtime.renewal import clock, imported

from tests.conftest import ROOT

SCRIPT = """
import asyncio, json, queue, select, subprocess, sys, threading, time
sys.path.insert(0, {package!r})
from time import monotonic, clock_gettime
from quickthaw.runtime.renewal import clock

BEHIND = 86_400
remembered = clock.Clock()
assert not remembered.obstacle, remembered.obstacle
before = {{number: clock_gettime(number) for number in (1, 4, 6, 7)}}
others = {{number: clock_gettime(number) for number in (0, 2, 3)}}
for number in remembered.frozen_s:
    remembered.frozen_s[number] += BEHIND - 0.5
clock.renew(remembered)

def lasts(wait):
    begin = time.time()
    wait()
    return time.time() - begin

def get(waiting):
    try: waiting.get(timeout=0.05)
    except queue.Empty: pass

def refused():
    try: clock_gettime(99)
    except OSError: return True

lock, burning = threading.Lock(), True
lock.acquire()
def burn():
    while burning: pass
thread = threading.Thread(target=burn)
thread.start()
switches = lasts(lambda: [time.sleep(0.001) for _ in range(20)])
burning = False
thread.join()
print(json.dumps({{
    "added": remembered.added_s, "refused": refused(),
    "moved": {{number: clock_gettime(number) - then for number, then in before.items()}},
    "others": {{number: clock_gettime(number) - then for number, then in others.items()}},
    "functions": [f() - before[1] for f in (monotonic, time.perf_counter, lambda: time.monotonic_ns() / 1e9)],
    "thread": time.clock_gettime(time.pthread_getcpuclockid(threading.get_ident())),
    "lasts": {{
        "sleep": lasts(lambda: time.sleep(0.05)), "event": lasts(lambda: threading.Event().wait(0.05)),
        "lock": lasts(lambda: lock.acquire(timeout=0.05)), "queue": lasts(lambda: get(queue.Queue())),
        "simple": lasts(lambda: get(queue.SimpleQueue())),
        "asyncio": lasts(lambda: asyncio.run(asyncio.sleep(0.05))),
        "select": lasts(lambda: select.select([], [], [], 0.05)),
    }},
    "switches": switches,
    "child": subprocess.run(["true"], timeout=10).returncode,
}}))
"""


def test_every_clock_moves_and_every_wait_lasts(each_python: Path) -> None:
    script = SCRIPT.format(package=str(ROOT / "layer" / "python"))
    done = subprocess.run([each_python, "-I", "-c", script], capture_output=True, check=True, timeout=60)
    seen = json.loads(done.stdout)
    assert seen["added"] == 86_400, "whole seconds, rounded up"
    assert all(86_400 <= moved < 86_420 for moved in (*seen["moved"].values(), *seen["functions"]))
    assert all(0 <= moved < 20 for moved in seen["others"].values()), "wall and CPU time are left alone"
    assert 0 < seen["thread"] < 20
    assert all(0.049 < seconds < 1 for seconds in seen["lasts"].values()), seen["lasts"]
    assert seen["switches"] < 3, "threads give each other the interpreter"
    assert seen["refused"] and seen["child"] == 0


ENDING = """
import sys, threading, time
sys.path.insert(0, {package!r})
from quickthaw.runtime.renewal import clock

threading.stack_size(64 << 20)  # unmapped when the thread ends
sys.setswitchinterval(1e-6)
remembered, over = clock.Clock(), threading.Event()

def churn():
    while not over.is_set():
        threads = [threading.Thread(target=time.sleep, args=(0.0002,)) for _ in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()

churning = threading.Thread(target=churn)
churning.start()
for number in remembered.frozen_s:
    remembered.frozen_s[number] += 3599.5
try:
    clock.renew(remembered)
finally:
    over.set()
churning.join()
assert remembered.added_s == 3600, remembered.added_s
"""


def test_threads_may_end_while_waits_are_interrupted(each_python: Path) -> None:
    script = ENDING.format(package=str(ROOT / "layer" / "python"))
    for _ in range(5):
        done = subprocess.run([each_python, "-I", "-c", script], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")


def test_a_slot_holds_the_address_of_its_function() -> None:
    time.clock_gettime(time.CLOCK_MONOTONIC)  # the linker fills slots at the first call
    (slot,) = imported.slots(["clock_gettime"])["clock_gettime"]
    libc = ctypes.CDLL(None)
    assert ctypes.c_uint64.from_address(slot.address).value == imported.address(libc.clock_gettime)


def test_functions_that_nobody_imports_have_no_slot() -> None:
    assert imported.slots(["no_such_function"]) == {}
    assert imported.slots(["clock_gettime"], of="/no/such/library") == {}


def test_a_clock_that_cannot_be_corrected_is_declined_and_one_that_need_not_be_is_left() -> None:
    remembered = clock.Clock()
    remembered.obstacle = "this is a test"
    clock.renew(remembered)
    assert remembered.added_s == 0
    remembered.frozen_s = {number: then + 3600 for number, then in remembered.frozen_s.items()}
    with pytest.raises(Declined, match="the monotonic clock is 360[01] s behind .*: this is a test"):
        clock.renew(remembered)
