"""Starting the original command, as execvp(3) and layer/native/decline.c do.

An OS-only runtime's Python may have no path, and a program may be in any
directory of PATH.  `os.execvpe` is no help: the bootstrap has no `os`, and it
looks elsewhere where there is no PATH.
"""

from __future__ import annotations

import _signal
import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

ENDING = (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP, _signal.SIGQUIT)  # what ends a runtime
_NO_PATH = "/usr/local/bin:/usr/bin:/bin"
_NOT_FOUND = 127  # as a shell says it


def become(command: list[str], environ: Mapping[str, str]) -> NoReturn:
    """Replaces this process by a command; ends it where there is no such program."""
    original = {_bytes(key): _bytes(value) for key, value in environ.items()}
    last: Exception = ValueError("no command")
    for path in _places(command, environ):
        try:
            posix.execve(path, command, original)
        except OSError as error:
            last = error
    posix.write(2, f"quickthaw: cannot start {command}: {last}\n".encode())
    posix._exit(_NOT_FOUND)


def _places(command: list[str], environ: Mapping[str, str]) -> list[str]:
    if not command or "/" in command[0]:
        return command[:1]
    search = environ.get("PATH") or _NO_PATH
    return [f"{directory or '.'}/{command[0]}" for directory in search.split(":")]


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")
