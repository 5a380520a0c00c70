"""Methods of the standard library that report while the function is imported.

A method keeps its identity while it is watched, because only its `__code__` is
another one: bound methods and what `from random import seed` took are reached,
pickles and signatures stay the same.  At the freeze it gets its own code back.

The code runs in its method's namespace, so it imports what it needs, and it
must close over the same names as the method's own (`__class__`, if that says
super()).  Rejected: a wrapper, which would stay in whatever the function took.
"""

from __future__ import annotations

import types

originals: dict[str, types.FunctionType] = {}  # run the watched methods' own code
_codes: dict[types.FunctionType, types.CodeType] = {}


def swap(name: str, owner: type, code: types.CodeType) -> None:
    """Lets a method run other code until `end`; `originals[name]` runs its own."""
    function = vars(owner)[name]
    originals[name] = types.FunctionType(
        function.__code__, function.__globals__, name, function.__defaults__, function.__closure__
    )
    _codes[function] = function.__code__
    function.__code__ = code.replace(co_name=name, co_qualname=function.__qualname__)


def end() -> None:
    """Gives every method its own code back."""
    for function, code in _codes.items():
        function.__code__ = code
    _codes.clear()
