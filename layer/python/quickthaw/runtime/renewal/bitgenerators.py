"""NumPy's generators: which of them nobody seeded, and how they are renewed.

A SeedSequence without a seed takes entropy from `secrets.randbits`, which
`generators` watches: whoever has a value that was given out there was not
seeded.  Legacy seeding (np.random.seed, RandomState) leaves no SeedSequence
behind; whether a Mersenne Twister without one comes from such a value is found
by trying.  A state that was set from elsewhere belongs to somebody, too.

Sequences are renewed in place, so that what is spawned from them later is new,
and generators get the state of a new one on their sequence; RandomState,
Generator and BitGenerator stay the same objects.

Not reached, and so for an after-restore hook: a legacy generator after some
10^6 numbers from `seed(None)` or 3 * 10^7 from its beginning, MT19937.jumped().
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Set
from typing import Any

from quickthaw.errors import CannotFreeze
from quickthaw.runtime.renewal import heap

_STEPS = 50_000  # of 624 numbers that a search may take, 30 microseconds each
_STEPS_EACH = 2000  # of them from one value, where many come into question


class Found:
    """What nobody seeded.

    Attributes:
        sequences: SeedSequences.
        generators: BitGenerators.
        legacy: RandomStates on such a one, which may keep a number for later.
    """

    def __init__(self) -> None:
        self.sequences: list[Any] = []
        self.generators: list[Any] = []
        self.legacy: list[Any] = []


def remember(entropies: Set[int]) -> Found:
    """Finds them.

    Args:
        entropies: what was given out as seeds.

    Raises:
        CannotFreeze: one is of a kind that cannot be renewed.
    """
    found = Found()
    if "numpy.random" not in sys.modules:
        return found
    kinds, legacy = sys.modules["numpy.random.bit_generator"], sys.modules["numpy.random.mtrand"]
    found.sequences = [thing for thing in heap.instances(kinds.SeedSequence) if _among(thing, entropies)]
    found.generators = _unseeded(heap.instances(kinds.BitGenerator), entropies)
    renewed = {id(thing) for thing in found.generators}
    found.legacy = [
        thing for thing in heap.instances(legacy.RandomState) if id(thing._bit_generator) in renewed
    ]
    return found


def _unseeded(generators: list[Any], entropies: Set[int]) -> list[Any]:
    found: list[Any] = []
    legacy: dict[bytes, list[Any]] = {}
    for thing in generators:
        sequence = _sequence(thing)
        if sequence is not None and _among(sequence, entropies):
            _check(thing)
            if _follows(thing):
                found.append(thing)
        elif sequence is None and type(thing).__name__ == "MT19937":
            legacy.setdefault(thing.state["state"]["key"].tobytes(), []).append(thing)
    for key in _derived(legacy.keys(), entropies):
        found += legacy[key]
    return found


def _check(generator: Any) -> None:
    try:
        generator.state, _ = generator.state, _fresh_state(generator)
    except Exception as error:
        raise CannotFreeze(
            f"a {type(generator).__name__} was made without a seed and cannot be renewed: {error}",
            hint="Make it in the handler or in an after-restore hook, or give it a seed.",
        ) from error


def _among(sequence: Any, entropies: Set[int]) -> bool:
    entropy = getattr(sequence, "entropy", None)
    return isinstance(entropy, int) and entropy in entropies


def _follows(generator: Any) -> bool:
    """Whether the state comes from the generator's own SeedSequence, and was not set to another one."""
    now, tried = generator.state["state"], _fresh(generator)
    first = tried.state["state"]
    if tried.state["bit_generator"] == "MT19937":
        return _leads_to(tried, {now["key"].tobytes()}, _STEPS) is not None
    # Of PCG64 and of Philox: fixed by the seed, whatever was drawn since.
    return all(repr(now[part]) == repr(first[part]) for part in ("inc", "key") if part in now)


def _leads_to(generator: Any, keys: Set[bytes], steps: int) -> bytes | None:
    """The first of these keys that an MT19937 comes to; each step is 624 numbers."""
    for _ in range(steps):
        key: bytes = generator.state["state"]["key"].tobytes()
        if key in keys:
            return key
        generator.random_raw(624, output=False)
    return None


def _derived(keys: Set[bytes], entropies: Set[int]) -> Iterator[bytes]:
    """Those of the MT19937 keys that the entropies lead to."""
    if not keys:
        return
    from numpy.random import MT19937, SeedSequence

    steps = max(2, min(_STEPS_EACH, _STEPS // max(1, len(entropies))))
    for entropy in list(entropies)[:_STEPS]:
        key = _leads_to(MT19937(SeedSequence(entropy)), keys, steps)
        if key is not None:
            yield key


def _sequence(generator: Any) -> Any:
    found = getattr(generator, "seed_seq", None)
    return found if found is not None else getattr(generator, "_seed_seq", None)  # before NumPy 1.25


def _fresh(generator: Any) -> Any:
    """One of the same kind from the same SeedSequence; NumPy's own kind, whose constructor is known."""
    sequence, classes = _sequence(generator), type(generator).__mro__
    kind = next((base for base in classes if base.__module__.startswith("numpy.random.")), classes[0])
    return kind(sequence) if sequence is not None else kind()


def _fresh_state(generator: Any) -> dict[str, Any]:
    # A subclass wants to read its own name.
    return {**_fresh(generator).state, "bit_generator": generator.state["bit_generator"]}


def renew(found: Found) -> None:
    """Gives every one of them entropy of this moment."""
    if found.sequences:
        _renew_sequences(found.sequences)
    for thing in found.generators:
        thing.state = _fresh_state(thing)
    for thing in found.legacy:
        thing.set_state(thing._bit_generator.state)  # drops the second of a pair of normal numbers


def _renew_sequences(sequences: list[Any]) -> None:
    """Sequences of one family (spawned from one another) stay one family."""
    kind = type(sequences[0])
    fresh: dict[int, int] = {}
    for sequence in sequences:
        entropy = fresh.setdefault(sequence.entropy, kind(pool_size=sequence.pool_size).entropy)
        anew = kind(
            entropy,
            spawn_key=sequence.spawn_key,
            pool_size=sequence.pool_size,
            n_children_spawned=sequence.n_children_spawned,
        )
        # The attributes are read-only; this is how pickle sets them.
        sequence.__setstate_cython__(anew.__reduce_cython__()[2])
