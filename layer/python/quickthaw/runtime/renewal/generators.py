"""Random number generators: those that nobody seeded are renewed, those that somebody seeded go on.

A cold start gives `random.Random()` new entropy and `random.Random(42)` the
same sequence, so a thaw has to; which of the two an object is can be seen
only when it is seeded.  Hence the watch, from before the import to the freeze:

- Random.seed, setstate and getstate report.  A state that was taken from an
  unseeded generator and put back (copies, "seed for a moment") leaves it
  unseeded.
- SystemRandom.getrandbits, from which NumPy takes its seeds, reports what it
  gave out; `bitgenerators` finds who has it.

Rejected: renewing everything, which changes the answers of functions that
seeded on purpose.

Not reached, and so for an after-restore hook: generators of other libraries
(PyTorch, TensorFlow, JAX) and direct instances of `_random.Random`.
"""

from __future__ import annotations

import random
import types
import weakref
from typing import Any

from quickthaw.runtime.renewal import bitgenerators, heap, watch

_SEED_BITS = 128  # of a NumPy seed, at least; smaller requests are for something else

_unseeded: dict[int, weakref.ref[random.Random]] = {}
_states: set[int] = set()  # hashes of states of unseeded generators
_entropies: set[int] = set()


def begin() -> None:
    """Begins to note; call before the function is imported."""
    for existing in heap.instances(random.Random):  # the library's own: `random` itself, `tempfile`
        _note(existing)
    watch.swap("seed", random.Random, _seed_code())
    watch.swap("setstate", random.Random, _setstate_code())
    watch.swap("getstate", random.Random, _getstate_code())
    watch.swap("getrandbits", random.SystemRandom, _getrandbits_code())


# See `watch` for why these import what they use, and for the cell `__class__`.


def _seed_code() -> types.CodeType:
    __class__ = random.Random

    def seed(self: Any, a: Any = None, version: int = 2) -> None:
        _ = __class__
        from quickthaw.runtime.renewal import generators, watch

        watch.originals["seed"](self, a, version)
        generators.seeded(self, a)

    return seed.__code__


def _setstate_code() -> types.CodeType:
    __class__ = random.Random

    def setstate(self: Any, state: Any) -> None:
        _ = __class__
        from quickthaw.runtime.renewal import generators, watch

        watch.originals["setstate"](self, state)
        generators.put_back(self, state)

    return setstate.__code__


def _getstate_code() -> types.CodeType:
    __class__ = random.Random

    def getstate(self: Any) -> Any:
        _ = __class__
        from quickthaw.runtime.renewal import generators, watch

        state = watch.originals["getstate"](self)
        generators.taken(self, state)
        return state

    return getstate.__code__


def _getrandbits_code() -> types.CodeType:
    def getrandbits(self: Any, k: int) -> int:
        from quickthaw.runtime.renewal import generators, watch

        value: int = watch.originals["getrandbits"](self, k)
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
    if bits >= _SEED_BITS:
        _entropies.add(value)


def _note(generator: random.Random) -> None:
    if not isinstance(generator, random.SystemRandom):
        key = id(generator)
        _unseeded[key] = weakref.ref(generator, lambda _: _unseeded.pop(key, None))


class Unseeded:
    """What `remember` found, for `renew`.

    Attributes:
        python: instances of random.Random.
        numpy: NumPy's.
    """

    def __init__(self) -> None:
        self.python = [found for reference in list(_unseeded.values()) if (found := reference()) is not None]
        self.numpy = bitgenerators.remember(_entropies)


def remember() -> Unseeded:
    """Finds what to renew; call when the watch has ended.

    Raises:
        CannotFreeze: a generator that nobody seeded is of a kind that cannot be renewed.
    """
    found = Unseeded()
    for notes in (_unseeded, _states, _entropies):
        notes.clear()
    return found


def renew(found: Unseeded) -> None:
    """Gives every one of them entropy of this moment; objects stay the same objects."""
    for generator in found.python:
        random.Random.seed(generator)  # a subclass's own seed() may do other things than seeding
    bitgenerators.renew(found.numpy)
