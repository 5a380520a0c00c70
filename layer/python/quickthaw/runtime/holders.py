"""Which Python object holds descriptor 7?  Asked by the checkpoint, when it is about to refuse.

From outside, a descriptor is a number.  Inside, it is `app.session` or
`app.CLIENT._pool.sock`, and that is what its owner can act on.  This module
walks from the modules' variables to whatever they refer to and gives back the
shortest path to each thing that was asked for; the handler's own module comes
first, then the function's packages, then the variables of running functions,
then the rest.

The walk runs no code of the function: attributes are read as the interpreter
stores them, never through properties, `__getattr__` or `__class__`, because a
proxy object would connect to something in order to answer.  Keys of dictionaries are shown
only where they look like names: they may be anything, a token too.

Rejected: `gc.get_referrers` from the object upwards; it passes over the whole
heap for each step, does not see what `gc.freeze` moved away, and sockets'
neighbours are often not tracked at all.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
import types
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from quickthaw import names

_DEEPEST = 40  # steps; what lies deeper has no name that would help anybody
_SHOWN_KEY = 40  # characters
_NO_REFERENCES = (str, bytes, bytearray, int, float, complex, type(None), types.ModuleType, types.CodeType)
_NAMES_OF_DESCRIPTORS = ("fd", "handle", "fileno", "descriptor", "sock", "pipe", "ring")
_NAMES_OF_PROCESSES = ("pid", "child", "proc")


def answer(wanted: dict[str, list[int]], handler: str) -> list[list[Any]]:
    """Who holds what was asked for.

    Args:
        wanted: numbers under "descriptor", "process" and "address".
        handler: `module.function`.

    Returns:
        [kind, number, path] of each that was found.
    """
    module = handler.rpartition(".")[0].replace("/", ".")
    found = _Found({kind: set(numbers) for kind, numbers in wanted.items()}, module)
    seen: set[int] = set()
    for roots in _roots(module):
        if not found.left():
            break
        _walk(roots, found, seen)
    return [[kind, number, path] for (kind, number), path in sorted(found.paths.items())]


class _Found:
    """What was asked for and where it was met first."""

    def __init__(self, wanted: dict[str, set[int]], module: str) -> None:
        self.wanted = wanted
        self._module = module
        self.paths: dict[tuple[str, int], str] = {}

    def left(self) -> bool:
        """Whether something has not been met yet."""
        return any(numbers for numbers in self.wanted.values())

    def look(self, thing: Any, path: str, *, constant: bool) -> None:
        """Notes a thing that is one of those asked for, or knows one by its number.

        Args:
            constant: it is a variable of a module: `socket.SOCK_RAW` is no descriptor.
        """
        if type(thing) is int:
            self._number(thing, path, constant=constant)
            return
        for kind, number in _held(thing):
            self._note(kind, number, f"{path} ({type(thing).__name__})")

    def _number(self, number: int, path: str, *, constant: bool) -> None:
        # Small numbers are everywhere: only a name tells a descriptor from a length.
        before, _, name = path.rpartition(".")
        name = name.rpartition("[")[2]
        own = before == self._module
        if own or not constant:
            if any(word in name.lower() for word in _NAMES_OF_DESCRIPTORS) or (own and len(name) == 1):
                self._note("descriptor", number, path)
            if any(word in name.lower() for word in _NAMES_OF_PROCESSES) or own:
                self._note("process", number, path)
        self._note("address", number, path)

    def _note(self, kind: str, number: int, path: str) -> None:
        if number in self.wanted.get(kind, ()):
            self.wanted[kind].discard(number)
            self.paths[kind, number] = path


def _held(thing: Any) -> Iterator[tuple[str, int]]:
    """Descriptors and mappings of an object of the standard library's own types."""
    for module, name in (("_socket", "socket"), ("_io", "FileIO"), ("select", "epoll")):
        kind = getattr(sys.modules.get(module), name, None)
        if kind is not None and issubclass(type(thing), kind):
            try:
                yield "descriptor", kind.fileno(thing)
            except (OSError, ValueError):
                return  # closed
    database = getattr(sys.modules.get("_sqlite3"), "Connection", None)
    if database is not None and issubclass(type(thing), database):
        yield from (("descriptor", fd) for fd in _of_database(thing))
    mapping = getattr(sys.modules.get("mmap"), "mmap", None)
    if mapping is not None and issubclass(type(thing), mapping):
        # Its first member is the address (Modules/mmapmodule.c); there is no call that tells it.
        address = ctypes.c_void_p.from_address(id(thing) + object.__basicsize__).value
        yield "address", address or 0


def _of_database(connection: Any) -> Iterator[int]:
    """Descriptors of the file of an SQLite connection, without asking it anything: it may be in use."""
    module: Any = sys.modules["_sqlite3"]
    # As with mmap: the database is the first member (Modules/_sqlite/connection.h).
    handle = ctypes.c_void_p.from_address(id(connection) + object.__basicsize__).value
    name = getattr(ctypes.CDLL(module.__file__), "sqlite3_db_filename", None)
    if not handle or name is None:
        return
    name.argtypes, name.restype = (ctypes.c_void_p, ctypes.c_char_p), ctypes.c_char_p
    path = os.fsdecode(name(handle, b"main") or b"")
    for entry in os.listdir("/proc/self/fd") if path else ():
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{entry}") == path:
                yield int(entry)


def _roots(handler_module: str) -> Iterator[list[tuple[str, Any]]]:
    """Named things to start from, in the order in which their names help."""
    modules = {name: module for name, module in list(sys.modules.items()) if module is not None}
    places = tuple(f"{path}/" for path in (names.TASK_PATH, names.LAYER_PYTHON_PATH))
    ours = {name for name in modules if name.partition(".")[0] == "quickthaw" or name == "__main__"}
    own = {name for name, module in modules.items() if str(_file(module)).startswith(places)} - ours
    yield _variables(modules, {handler_module})
    yield _variables(modules, own - {handler_module})
    yield list(_locals())
    yield _variables(modules, modules.keys() - own - ours)


def _variables(modules: dict[str, Any], wanted: Iterable[str]) -> list[tuple[str, Any]]:
    return [
        (f"{name}.{key}", value)
        for name in sorted(wanted)
        if name in modules
        for key, value in list(vars(modules[name]).items())
        if isinstance(key, str)
    ]


def _locals() -> Iterator[tuple[str, Any]]:
    """Variables of functions that are running, in every thread; ours are left out."""
    for frame in sys._current_frames().values():
        inner: types.FrameType | None = frame
        while inner is not None:
            module = str(inner.f_globals.get("__name__"))
            if module.partition(".")[0] not in ("quickthaw", "__main__"):
                place = f"{module}.{inner.f_code.co_name}()"
                yield from ((f"{place}.{key}", value) for key, value in inner.f_locals.items())
            inner = inner.f_back


def _file(module: Any) -> Any:
    return vars(module).get("__file__") if isinstance(module, types.ModuleType) else None


def _walk(roots: Iterable[tuple[str, Any]], found: _Found, seen: set[int]) -> None:
    """Breadth first, so that the first path to a thing is a shortest one."""
    queue: deque[tuple[str, Any, int]] = deque((path, thing, 0) for path, thing in roots)
    alive = []  # what is made on the way must not give its id to the next one
    while queue and found.left():
        path, thing, depth = queue.popleft()
        if type(thing) is int:
            found.look(thing, path, constant=depth == 0 and "()" not in path)
            continue
        if id(thing) in seen or issubclass(type(thing), _NO_REFERENCES):
            continue
        seen.add(id(thing))
        found.look(thing, path, constant=depth == 0)
        if depth < _DEEPEST:
            for step, inner in _inside(thing):
                queue.append((path + step, inner, depth + 1))
        alive.append(thing)


def _inside(thing: Any) -> Iterator[tuple[str, Any]]:
    """What a thing refers to, with what leads there; unnamed where there is no name."""
    kind = type(thing)
    if issubclass(kind, dict):
        yield from ((_subscript(key), value) for key, value in list(dict.items(thing)))
        yield from _attributes(thing)
        return
    for container in (list, tuple, deque, set, frozenset):
        if issubclass(kind, container):
            ordered = container in (list, tuple, deque)
            items = list(container.__iter__(thing))  # a subclass may have an __iter__ of its own
            yield from ((f"[{index}]" if ordered else "[...]", value) for index, value in enumerate(items))
            if container is not tuple:
                yield from _attributes(thing)
            return
    if issubclass(kind, type):
        yield from (
            (f".{key}", value) for key, value in list(type.__dict__["__dict__"].__get__(thing).items())
        )
        return
    if issubclass(kind, types.FunctionType):
        cells = zip(thing.__code__.co_freevars, thing.__closure__ or (), strict=False)
        yield from ((f".<{name}>", cell) for name, cell in cells)
        yield from ((".<default>", value) for value in thing.__defaults__ or ())
        yield from ((f".{key}", value) for key, value in list(thing.__dict__.items()))
        return
    named = list(_attributes(thing))
    yield from named
    known = {id(value) for _, value in named}
    for inner in gc.get_referents(thing):
        # Its class is reached by name where it has one; classes lead everywhere.
        if id(inner) not in known and not isinstance(inner, type):
            yield "", inner


def _attributes(thing: Any) -> Iterator[tuple[str, Any]]:
    """Attributes as stored, in `__dict__` and in slots, without any of the object's own code."""
    for base in type.__dict__["__mro__"].__get__(type(thing)):
        for name, member in list(type.__dict__["__dict__"].__get__(base).items()):
            try:
                if name == "__dict__" and isinstance(member, types.GetSetDescriptorType):
                    stored = member.__get__(thing)
                    yield from ((f".{key}", value) for key, value in list(stored.items()))
                elif isinstance(member, types.MemberDescriptorType):
                    yield f".{name}", member.__get__(thing)
            except (AttributeError, TypeError):
                continue  # an empty slot


def _subscript(key: Any) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    if isinstance(key, str) and len(key) <= _SHOWN_KEY and key.isidentifier():
        return f"[{key!r}]"
    return "[...]"
