"""What nobody seeded differs from thaw to thaw; what somebody seeded is as after a cold start."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Freezer
from tests.integration.wake.conftest import ENGINES, Function

PYTHON = """
    import copy, pickle, random, secrets, ssl, tempfile, uuid
    import multiprocessing.process
    from random import getrandbits, random as draw

    class Own(random.Random):
        pass

    UNSEEDED = {"Random": random.Random(), "subclass": Own(), "copy": None,
        "seeded with None": random.Random(1)}
    UNSEEDED["copy"] = copy.copy(UNSEEDED["Random"])
    UNSEEDED["seeded with None"].seed()
    UNSEEDED["unpickled"] = pickle.loads(pickle.dumps(UNSEEDED["Random"]))
    SEEDED = {"Random": random.Random(42), "subclass": Own(42), "seeded later": random.Random(),
              "copy": copy.copy(random.Random(42)), "state": random.Random()}
    SEEDED["seeded later"].seed("word")
    SEEDED["state"].setstate(random.Random(42).getstate())
    UUID1, MADE = uuid.uuid1(), tempfile.mktemp()
    ssl.RAND_bytes(8)

    def handler(event, context):
        made = uuid.uuid1()
        return {
            "differ": {
                **{name: generator.getrandbits(128) for name, generator in UNSEEDED.items()},
                "global": draw(), "getrandbits": getrandbits(128), "secrets": secrets.token_hex(),
                "OpenSSL": ssl.RAND_bytes(16).hex(), "uuid4": str(uuid.uuid4()), "node": made.node,
                "tempfile": tempfile.mktemp(),
                "authkey": bytes(multiprocessing.process.current_process().authkey).hex(),
            },
            "same": {name: generator.getrandbits(128) for name, generator in SEEDED.items()},
            "as before": [
                random.Random.seed.__code__.co_filename == random.__file__,
                pickle.loads(pickle.dumps(random.Random.seed)) is random.Random.seed,
            ],
        }
"""

GLOBAL_SEED = """
    import random
    random.seed(42)
    def handler(event, context):
        return random.getrandbits(128)
"""

NUMPY = """
    import copy, pickle
    import numpy as np
    from numpy.random import MT19937, PCG64, SFC64, Generator, Philox, RandomState, SeedSequence, default_rng

    UNSEEDED = {
        "default_rng": default_rng(), "RandomState": RandomState(), "PCG64": Generator(PCG64()),
        "MT19937": Generator(MT19937()), "Philox": Generator(Philox()), "SFC64": Generator(SFC64()),
        "spawned": Generator(PCG64(SeedSequence().spawn(2)[1])), "reseeded": RandomState(42),
        "copy": copy.deepcopy(default_rng()),
    }
    class Own(PCG64):
        def __init__(self, name): super().__init__()
    UNSEEDED["subclass"] = Generator(Own("name"))
    PAIRS = {"differ": RandomState(), "same": RandomState(42)}
    for one in PAIRS.values(): one.standard_normal()  # the second of the pair waits
    UNSEEDED["reseeded"].seed(None)
    UNSEEDED["reseeded"].bytes(5000)
    SEQUENCE = SeedSequence()
    SEEDED = {
        "default_rng": default_rng(42), "RandomState": RandomState(42), "PCG64": Generator(PCG64(42)),
        "MT19937": Generator(MT19937(42)), "Philox": Generator(Philox(42)), "state": default_rng(),
        "reseeded": RandomState(),
    }
    SEEDED["state"].bit_generator.state = PCG64(42).state
    SEEDED["reseeded"].seed(42)
    SEEDED["set"] = RandomState()
    SEEDED["set"].set_state(RandomState(42).get_state())
    with_state = np.random.get_state()  # seeded for a moment: still nobody's
    np.random.seed(1)
    np.random.set_state(with_state)
    np.random.random(100_000)

    def handler(event, context):
        return {
            "differ": {
                **{name: generator.bytes(16).hex() for name, generator in UNSEEDED.items()},
                "global": np.random.bytes(16).hex(), "normal": PAIRS["differ"].standard_normal(),
                "children": default_rng(SEQUENCE.spawn(1)[0]).bytes(16).hex(),
                "spawn": str(UNSEEDED["default_rng"].bit_generator.seed_seq.spawn(1)[0].generate_state(4)),
            },
            "same": {
                **{name: generator.bytes(16).hex() for name, generator in SEEDED.items()},
                "normal": PAIRS["same"].standard_normal(),
            },
        }
"""

NUMPY_GLOBAL_SEED = """
    import numpy as np
    np.random.seed(42)
    def handler(event, context):
        return np.random.bytes(16).hex()
"""

CRYPTOGRAPHY = """
    from cryptography.hazmat.primitives.asymmetric import ec
    FIRST = ec.generate_private_key(ec.SECP256R1())
    def handler(event, context):
        return ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
"""


def check(answers: list[Any], cold: Any) -> None:
    for name in cold["differ"]:
        assert len({str(answer["differ"][name]) for answer in answers}) == len(answers), name
    for answer in answers:
        assert answer["same"] == cold["same"]


def test_generators_and_unique_things_of_the_standard_library(
    each_python: Path, freeze: Freezer, layer: Path, tmp_path: Path
) -> None:
    function = Function(tmp_path, freeze, layer, each_python)
    function.write(PYTHON)
    function.freeze()
    answers = [function.thaw(engine) for engine in ENGINES for _ in range(2)]
    check(answers, function.cold())
    assert all(all(answer["as before"]) for answer in answers)


@pytest.mark.timeout(240)
def test_generators_of_numpy(function: Function) -> None:
    function.write(NUMPY, "numpy")
    function.freeze()
    check([function.thaw(engine) for engine in ENGINES for _ in range(2)], function.cold())


@pytest.mark.parametrize(("source", "packages"), [(GLOBAL_SEED, ()), (NUMPY_GLOBAL_SEED, ("numpy",))])
def test_a_global_generator_that_was_seeded_keeps_its_sequence(
    source: str, packages: tuple[str, ...], function: Function
) -> None:
    function.write(source, *packages)
    function.freeze()
    cold = function.cold()
    assert [function.thaw(engine) for engine in ENGINES] == [cold, cold]


def test_the_openssl_inside_cryptography_makes_other_keys_in_each_thaw(function: Function) -> None:
    function.write(CRYPTOGRAPHY, "cryptography", "cffi", "_cffi_backend", "pycparser")
    function.freeze({})  # its generator is warm
    keys = [function.thaw(engine) for engine in ENGINES for _ in range(2)]
    assert len(set(keys)) == len(keys)


def test_an_openssl_that_cannot_be_reached_is_served_only_where_it_renews_itself(function: Function) -> None:
    function.write(
        """
        import ctypes
        LIBRARY = ctypes.CDLL("/var/task/own.so")
        def handler(event, context):
            return LIBRARY.answer()
        """
    )
    source = function.task / "own.c"
    version = 'const char *version(void) { return "OpenSSL 3.0.11 19 Sep 2023"; }'
    source.write_text(f"{version}\nint answer(void) {{ return 42; }}\n")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", function.task / "own.so", source], check=True)
    function.freeze(layout="lz4")
    assert function.thaw("native") == 42, "another pid, by which OpenSSL notices"
    lacks = "the randomness of the OpenSSL inside /var/task/own.so, whose generator cannot be renewed"
    assert function.reason("criu") == f"CRIU does not give back {lacks}"
