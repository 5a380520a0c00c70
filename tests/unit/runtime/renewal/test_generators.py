"""Which generators nobody seeded, seen in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

SCRIPT = """
import copy, inspect, json, pickle, random, sys
sys.path.insert(0, {package!r})
from random import seed, setstate, getstate
signature = str(inspect.signature(random.Random.seed))
from quickthaw.runtime.renewal import generators, watch
generators.begin()
watched = str(inspect.signature(random.Random.seed))

class Odd(random.Random):
    def seed(self, a=None, version=2):
        super().seed(7)  # says nothing to its caller, and is seeded all the same

made = {{
    "unseeded": random.Random(), "seeded": random.Random(1), "None": random.Random(None), "odd": Odd(),
    "zero": random.Random(0), "reseeded": random.Random(), "unseeded later": random.Random(5),
    "copy of unseeded": None, "copy of seeded": copy.deepcopy(random.Random(1)),
}}
made["copy of unseeded"] = copy.copy(made["unseeded"])
made["reseeded"].seed(3)
made["unseeded later"].seed()
kept = getstate()
seed(1)
setstate(kept)
gone = random.Random()
del gone
watch.end()
found = generators.remember()
print(json.dumps({{
    "found": sorted(name for name, generator in made.items() if generator in found.python),
    "global": random._inst in found.python,
    "signatures": signature == watched == str(inspect.signature(random.Random.seed)),
    "own code": all(
        function.__code__.co_filename == random.__file__
        for function in (random.Random.seed, random.Random.setstate, random.Random.getstate,
            random.SystemRandom.getrandbits)
    ),
    "pickles": pickle.loads(pickle.dumps(random.Random.seed)) is random.Random.seed,
}}))
"""


def test_what_nobody_seeded_is_found_and_the_functions_are_themselves_again(each_python: Path) -> None:
    script = SCRIPT.format(package=str(ROOT / "layer" / "python"))
    done = subprocess.run([each_python, "-I", "-c", script], capture_output=True, check=True, timeout=60)
    seen = json.loads(done.stdout)
    assert seen.pop("found") == ["None", "copy of unseeded", "unseeded", "unseeded later"]
    assert seen == dict.fromkeys(seen, True), seen


def test_a_kind_of_generator_that_cannot_be_renewed_is_refused() -> None:
    script = """
import sys
sys.path.insert(0, {package!r})
from quickthaw.errors import CannotFreeze
from quickthaw.runtime.renewal import generators, watch
generators.begin()
import numpy as np
class Foreign(np.random.bit_generator.BitGenerator):
    def __init__(self): super().__init__()
held = Foreign()
try:
    watch.end()
    generators.remember()
except CannotFreeze as error:
    print(error)
"""
    package = str(ROOT / "layer" / "python")
    run = [sys.executable, "-c", script.format(package=package)]
    done = subprocess.run(run, capture_output=True, check=True, timeout=60, text=True)
    assert "Foreign was made without a seed and cannot be renewed" in done.stdout
