"""Random number generators: those that nobody seeded are renewed, those that somebody seeded go on.

A cold start gives `random.Random()` new entropy and `random.Random(42)` the
same sequence, so a thaw has to; which of the two an object is can be seen
only when it is seeded.  Hence the watch, from before the import to the freeze:

- `random`: Random.seed, setstate and getstate report.  A state that was taken
  from an unseeded generator and put back (copies, "seed for a moment") leaves
  it unseeded.
- NumPy: SeedSequence takes entropy from `secrets.randbits`; the values handed
  out are noted, and at the freeze every BitGenerator and SeedSequence whose
  entropy is among them is one that nobody seeded.  Legacy seeding
  (np.random.seed, RandomState) leaves no SeedSequence behind: there the noted
  entropies are tried.

The functions keep their identity while they are watched, because only their
`__code__` is another (bound methods and references from `from random import
seed` are reached, pickles stay valid), and get it back at the freeze.
Rejected: a subclass or a wrapper, which would stay in what the function
imported by name; renewing everything, which changes the answers of functions
that seeded on purpose.

Not reached, and so for an after-restore hook: generators of other libraries
(PyTorch, TensorFlow, JAX), direct instances of `_random.Random`, a legacy
NumPy generator after more than some 10^5 numbers from `seed(None)`, and
MT19937.jumped().
"""

from __future__ import annotations

import random
import sys
import types
import weakref
from collections.abc import Iterator
from typing import Any

from quickthaw.errors import CannotFreeze
from quickthaw.runtime.renewal import heap

_POOL_BITS = 128  # of a SeedSequence, at least; smaller requests are not for seeding
_STEPS = 20_000  # of 624 numbers that a search may take, 30 microseconds each
_STEPS_EACH = 300

originals: dict[str, types.FunctionType] = {}
_codes: dict[types.FunctionType, types.CodeType] = {}
_unseeded: dict[int, weakref.ref[random.Random]] = {}
_states: set[int] = set()  # hashes of states of unseeded generators
_entropies: set[int] = set()


def watch() -> None:
    """Begins to note; call before the function is imported."""
    for existing in heap.instances(random.Random):  # the library's own: `random` itself, `tempfile`
        _note(existing)
    swap("seed", random.Random, _seed_code())
    swap("setstate", random.Random, _setstate_code())
    swap("getstate", random.Random, _getstate_code())
    swap("getrandbits", random.SystemRandom, _getrandbits_code())


def unwatch() -> None:
    """Gives every method its own code back."""
    for function, code in _codes.items():
        function.__code__ = code
    _codes.clear()


def swap(name: str, owner: type, code: types.CodeType) -> None:
    """Lets a method run other code until `unwatch`; `originals[name]` runs its own."""
    function = vars(owner)[name]
    originals[name] = types.FunctionType(
        function.__code__, function.__globals__, name, function.__defaults__, function.__closure__
    )
    _codes[function] = function.__code__
    function.__code__ = code.replace(co_name=name, co_qualname=function.__qualname__)


# The codes run in the namespace of `random`, so they import what they need; those of methods that
# say super() must have the cell `__class__`, which a function's code cannot gain or lose.


def _seed_code() -> types.CodeType:
    __class__ = random.Random

    def seed(self: Any, a: Any = None, version: int = 2) -> None:
        _ = __class__
        from quickthaw.runtime.renewal import generators

        generators.originals["seed"](self, a, version)
        generators.seeded(self, a)

    return seed.__code__


def _setstate_code() -> types.CodeType:
    __class__ = random.Random

    def setstate(self: Any, state: Any) -> None:
        _ = __class__
        from quickthaw.runtime.renewal import generators

        generators.originals["setstate"](self, state)
        generators.put_back(self, state)

    return setstate.__code__


def _getstate_code() -> types.CodeType:
    __class__ = random.Random

    def getstate(self: Any) -> Any:
        _ = __class__
        from quickthaw.runtime.renewal import generators

        state = generators.originals["getstate"](self)
        generators.taken(self, state)
        return state

    return getstate.__code__


def _getrandbits_code() -> types.CodeType:
    def getrandbits(self: Any, k: int) -> int:
        from quickthaw.runtime.renewal import generators

        value: int = generators.originals["getrandbits"](self, k)
        generators.handed_out(k, value)
        return value

    return getrandbits.__code__


def seeded(generator: random.Random, seed: object) -> None:
    """`generator.seed(seed)` was called."""
    if seed is None:
        _note(generator)
    else:
        _unseeded.pop(id(generator), None)


def taken(generator: random.Random, state: object) -> None:
    """`generator.getstate()` was called."""
    if id(generator) in _unseeded:
        _states.add(hash(state))


def put_back(generator: random.Random, state: object) -> None:
    """`generator.setstate(state)` was called."""
    try:
        known = hash(tuple(state) if isinstance(state, list) else state) in _states
    except TypeError:
        known = False
    seeded(generator, None if known else state)


def handed_out(bits: int, value: int) -> None:
    """SystemRandom gave out entropy."""
    if bits >= _POOL_BITS:
        _entropies.add(value)


def _note(generator: random.Random) -> None:
    if not isinstance(generator, random.SystemRandom):
        key = id(generator)
        _unseeded[key] = weakref.ref(generator, lambda _: _unseeded.pop(key, None))


class Unseeded:
    """What `remember` found, for `renew`.

    Attributes:
        python: instances of random.Random.
        sequences: NumPy SeedSequences.
        numpy: NumPy BitGenerators.
    """

    def __init__(self) -> None:
        self.python = [found for reference in list(_unseeded.values()) if (found := reference()) is not None]
        self.sequences: list[Any] = []
        self.numpy: list[Any] = []


def remember() -> Unseeded:
    """Ends the watch and finds what to renew.

    Raises:
        CannotFreeze: a generator that nobody seeded is of a kind that cannot be renewed.
    """
    unwatch()
    found = Unseeded()
    kinds = sys.modules.get("numpy.random.bit_generator")
    if kinds is not None:
        found.sequences = [thing for thing in heap.instances(kinds.SeedSequence) if _handed(thing)]
        found.numpy = _unseeded_numpy(heap.instances(kinds.BitGenerator))
        for thing in found.numpy:
            try:
                thing.state = thing.state
                _fresh(thing)
            except Exception as error:
                raise CannotFreeze(
                    f"{type(thing).__name__} was made without a seed and cannot be renewed: {error}",
                    hint="Make it in the handler or in an after-restore hook, or give it a seed.",
                ) from error
    return found


def _unseeded_numpy(generators: list[Any]) -> list[Any]:
    found, legacy = [], {}
    for thing in generators:
        sequence = _sequence(thing)
        if sequence is None and type(thing).__name__ == "MT19937":
            legacy[thing.state["state"]["key"].tobytes()] = thing
        elif sequence is not None and _handed(sequence) and _follows(thing):
            found.append(thing)
    found += [legacy[key] for key in _derived(set(legacy))]
    return found


def _handed(sequence: Any) -> bool:
    entropy = getattr(sequence, "entropy", None)
    return isinstance(entropy, int) and entropy in _entropies


def _follows(generator: Any) -> bool:
    """Whether the state comes from the generator's own SeedSequence, and was not set to another one."""
    for part in ("inc", "key"):  # of PCG64 and of Philox: fixed by the seed, whatever was drawn since
        if type(generator).__name__ != "MT19937" and part in (state := generator.state["state"]):
            return repr(state[part]) == repr(_fresh(generator).state["state"][part])
    return True


def _derived(keys: set[bytes]) -> Iterator[bytes]:
    """Those of the MT19937 keys that the noted entropies lead to."""
    if not keys:
        return
    from numpy.random import MT19937, SeedSequence

    steps = min(_STEPS_EACH, _STEPS // max(1, len(_entropies)))
    left = set(keys)
    for entropy in list(_entropies)[:_STEPS]:
        tried = MT19937(SeedSequence(entropy))
        for _ in range(max(2, steps)):
            key = tried.state["state"]["key"].tobytes()
            if key in left:
                left.discard(key)
                yield key
            tried.random_raw(624, output=False)


def _sequence(generator: Any) -> Any:
    found = getattr(generator, "seed_seq", None)
    return found if found is not None else getattr(generator, "_seed_seq", None)  # before NumPy 1.25


def _fresh(generator: Any) -> Any:
    sequence = _sequence(generator)
    return type(generator)(sequence) if sequence is not None else type(generator)()


def renew(found: Unseeded) -> None:
    """Gives every one of them entropy of this moment; objects stay the same objects."""
    for generator in found.python:
        random.Random.seed(generator)  # a subclass's own seed() may do other things than seeding
    if found.sequences:
        _renew_sequences(found.sequences)
    for thing in found.numpy:
        thing.state = _fresh(thing).state


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


