"""Randomness that is nobody's object: OpenSSL, and what modules keep unique.

OpenSSL's generator reseeds itself in another process, which it tells by the
pid, and after minutes; a thaw may have neither, so entropy is added to each
copy of OpenSSL in the process: the one behind `_ssl`, shared libraries that
wheels bring, and the one inside of cryptography, through its binding.  Another
copy that is linked into an extension module (found by its version string)
cannot be reached; where the pid is the frozen one, and OpenSSL would notice
nothing, the wake declines.  (The native engine's processes have another pid.)

`secrets`, os.urandom and uuid4 ask the kernel each time.  uuid1 keeps a node, a
clock sequence and a last time, libuuid too and out of reach: afterwards the
node is a random one and the time Python's (RFC 4122, 4.5).  Keys by which
multiprocessing knows its own are new; the seed of str hashes is the snapshot's.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

from quickthaw.errors import Declined

_BYTES = 32  # 256 bits, what the strongest of OpenSSL's generators takes
_VERSION = re.compile(rb"OpenSSL [13]\.\d+\.\d+[a-z]? +\d+ [A-Z][a-z]{2} 20\d\d")
_BINDING = "cryptography.hazmat.bindings._rust"


class Copies:
    """The copies of OpenSSL in the process.

    Attributes:
        add: RAND_add of each: (bytes, length, entropy in bytes).
        unreached: files with one that cannot be reached.
        pid: of the process at the freeze.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.add: list[Callable[[bytes, int, float], Any]] = []
        self.unreached: list[str] = []
        if "_ssl" in sys.modules:
            module: Any = sys.modules["_ssl"]
            add = module.RAND_add
            self.add.append(lambda data, _size, entropy: add(data, entropy))
        binding: Any = sys.modules.get(_BINDING)
        inside: Any = getattr(getattr(binding, "_openssl", None), "lib", None)
        for path in _libraries():
            if os.path.basename(path).startswith("libcrypto"):
                self._take(path)
            elif path == getattr(binding, "__file__", None) and hasattr(inside, "RAND_add"):
                self.add.append(inside.RAND_add)
            elif _links(path):
                self.unreached.append(path)

    def _take(self, path: str) -> None:
        add = getattr(ctypes.CDLL(path), "RAND_add", None)
        if add is not None:
            add.argtypes, add.restype = (ctypes.c_char_p, ctypes.c_int, ctypes.c_double), None
            self.add.append(add)


def _libraries() -> Iterator[str]:
    """Shared objects that are mapped, each once."""
    seen = set()
    with open("/proc/self/maps", "rb") as file:
        for line in file:
            path = os.fsdecode(line.split(None, 5)[5].rstrip()) if line.count(b"/") else ""
            if path.startswith("/") and ".so" in os.path.basename(path) and path not in seen:
                seen.add(path)
                yield path


def _links(path: str) -> bool:
    """Whether a file has a copy of OpenSSL of its own."""
    try:
        with open(path, "rb") as file:
            return _VERSION.search(file.read()) is not None
    except OSError:
        return False


def remember() -> Copies:
    """Finds the copies of OpenSSL; reads every mapped library once."""
    return Copies()


def renew(copies: Copies) -> None:
    """Adds entropy to OpenSSL, and makes unique what should be.

    Raises:
        Declined: a copy of OpenSSL cannot be reached and will not notice by itself.
    """
    if copies.unreached and os.getpid() == copies.pid:
        raise Declined(f"{copies.unreached[0]} has an OpenSSL of its own, whose generator cannot be renewed")
    for add in copies.add:
        add(os.urandom(_BYTES), _BYTES, float(_BYTES))
    tempfile: Any = sys.modules.get("tempfile")
    if tempfile is not None:
        tempfile._name_sequence = None
    uuid: Any = sys.modules.get("uuid")
    if uuid is not None:
        uuid._generate_time_safe = None
        uuid._last_timestamp = None
        uuid._node = int.from_bytes(os.urandom(6), "big") | 1 << 40  # the multicast bit: no card has it
    process: Any = sys.modules.get("multiprocessing.process")
    if process is not None:
        key = process.AuthenticationString(os.urandom(_BYTES))
        process._current_process._config["authkey"] = key
