"""Processor time in a process of its own, on each Python, as after a thaw that took no time at all."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.conftest import ROOT

SCRIPT = """
import json, os, resource, sys, threading, time
sys.path.insert(0, {package!r})
from time import process_time, thread_time
from quickthaw.runtime.renewal import clock, processor

FROZEN = 5_000_000_000_123
SELF, THREAD = resource.RUSAGE_SELF, resource.RUSAGE_THREAD
asked, answers = threading.Semaphore(0), []
def answer():
    while True:
        asked.acquire()
        answers.append(time.thread_time_ns())
threading.Thread(target=answer, daemon=True).start()
def in_thread():
    asked.release()
    while not answers: time.sleep(0.001)
    return answers.pop()

def read():
    usage = resource.getrusage(SELF)
    return {{
        "process": process_time(), "process_ns": time.process_time_ns() / 1e9, "thread": thread_time(),
        "attribute": time.clock_gettime(time.CLOCK_PROCESS_CPUTIME_ID), "times": sum(os.times()[:2]),
        "usage": usage.ru_utime + usage.ru_stime, "other thread": in_thread() / 1e9,
    }}

def others():
    usage = resource.getrusage(THREAD)
    return [time.monotonic(), usage.ru_utime, sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]),
        time.clock_gettime(time.pthread_getcpuclockid(threading.get_ident()))]

before, others_before = read(), others()
found = processor.remember()
same = read()
found._frozen = [0] * len(found._frozen)  # as if each had been read this late, and nobody had asked since
for at in (0, 4, 8, *found._thread_entries()):
    parts = 10**9 if at in (0, *found._thread_entries()) else 10**6
    found._words[at + 2 : at + 4] = [5000, parts - 1]
elapsed = os.times().elapsed
found._words[15:17] = [500_000, 500_000]  # ticks, of which a second has a hundred
found._words[17] += 12_300
found.renew()
after, others_after = read(), others()
def burn(seconds):
    end = process_time() + seconds
    while process_time() < end: pass
    return process_time()
burnt = burn(0.05)
usage = resource.getrusage(SELF)
pid = os.fork()
if pid == 0:
    os._exit(0 if process_time() < 100 and thread_time() < 100 and os.times().user < 100 else 1)
print(json.dumps({{
    "before": before, "same": same, "after": after, "others": [others_before, others_after],
    "burnt": burnt, "utime": usage.ru_utime, "stime": usage.ru_stime,
    "rss": usage.ru_maxrss, "elapsed": os.times().elapsed - elapsed,
    "child": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]),
}}))
"""


def test_processor_time_goes_on_from_what_was_read_last(each_python: Path) -> None:
    script = SCRIPT.format(package=str(ROOT / "layer" / "python"))
    done = subprocess.run([each_python, "-I", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    for name, then in seen["before"].items():
        assert then <= seen["same"][name] < then + 20, f"{name}: nothing is added before the thaw"
        frozen = 10_000 if name in ("usage", "times") else 5000  # user and system
        assert frozen + then - 0.001 <= seen["after"][name] < frozen + then + 22, name
    assert seen["after"]["process"] + 0.05 <= seen["burnt"] < seen["after"]["process"] + 20
    assert 5000 < seen["utime"] < 5022 and 5000 < seen["stime"] < 5022
    assert seen["rss"] > 1000, "what else getrusage tells is left alone"
    for before, after in zip(*seen["others"], strict=True):
        assert before <= after < before + 20, "other clocks are left alone"
    assert 122 < seen["elapsed"] < 145
    assert seen["child"] == 0, "a fork counts from zero"
