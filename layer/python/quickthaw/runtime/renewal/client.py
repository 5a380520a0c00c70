"""The runtime client: loaded before the freeze as far as it may be, the rest at the wake.

awslambdaric's extension `runtime_client` is loaded by `lambda_runtime_client`
and reads AWS_LAMBDA_RUNTIME_API in that moment, never again (a C++ static).
Loading takes 1 to 2.5 ms, a tenth of a thaw.  Lambda, and AWS's Runtime
Interface Emulator, give every environment the same address, so the freeze
loads it under that address and the wake only compares.  Under another one the
wake loads a second copy: the dynamic loader knows a library by its inode, so
the copy is a file of its own, without a name.  Nothing is open in either
before the first request.

The modules that read the log settings when they are imported are found and
unmarshalled before the freeze, and executed after it.

Rejected: writing the other address into the first copy's memory (a private
C++ object); loading everything at the wake (what it costs is paid each time).
"""

from __future__ import annotations

import importlib
import os
import sys
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.util import find_spec, module_from_spec
from types import CodeType, ModuleType
from typing import Any

from quickthaw import names

_CLIENT = "awslambdaric.lambda_runtime_client"
_NATIVE = "runtime_client"
_AT_THE_WAKE = ("awslambdaric.bootstrap", "awslambdaric.__main__")


class Client:
    """What was loaded: the code of the modules that run at the wake."""

    def __init__(self) -> None:
        self.codes = [found for name in _AT_THE_WAKE if (found := _code(name)) is not None]


def prepare() -> Client:
    """At the freeze."""
    before = os.environ.get(names.ENV_RUNTIME_API)
    os.environ[names.ENV_RUNTIME_API] = names.RUNTIME_API
    try:
        importlib.import_module(_CLIENT)
    finally:
        if before is None:
            del os.environ[names.ENV_RUNTIME_API]
        else:
            os.environ[names.ENV_RUNTIME_API] = before
    return Client()


def renew(client: Client) -> tuple[Any, Any]:
    """At the wake, when the environment is the new one.

    Returns:
        The modules awslambdaric.__main__ and awslambdaric.bootstrap; their client asks the address
        that the environment names.

    Raises:
        OSError: the library cannot be copied.
        ImportError: it, or a module, cannot be loaded.
    """
    module: Any = sys.modules[_CLIENT]
    native = module.runtime_client  # None where the extension cannot be loaded: it has a fallback in Python
    if native is not None and os.environ.get(names.ENV_RUNTIME_API) != names.RUNTIME_API:
        fresh = _second_copy(native)
        fresh.initialize_client(module._user_agent())
        sys.modules[_NATIVE] = module.runtime_client = fresh
    for spec, code in client.codes:
        _execute(spec, code)
    return importlib.import_module("awslambdaric.__main__"), importlib.import_module("awslambdaric.bootstrap")


def _code(name: str) -> tuple[ModuleSpec, CodeType] | None:
    spec = find_spec(name)
    get_code = getattr(spec and spec.loader, "get_code", None)
    code = get_code(name) if get_code is not None else None
    return None if spec is None or code is None else (spec, code)


def _execute(spec: ModuleSpec, code: CodeType) -> None:
    """As the import system does, with code that is in memory already."""
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        exec(code, vars(module))
    except BaseException:
        del sys.modules[spec.name]
        raise
    package, _, name = spec.name.rpartition(".")
    setattr(sys.modules[package], name, module)


def _second_copy(first: ModuleType) -> Any:
    with open(str(first.__file__), "rb") as file:
        content = file.read()
    fd = _nameless_file()
    try:
        with os.fdopen(os.dup(fd), "wb") as copy:
            copy.write(content)
        path = f"/proc/self/fd/{fd}"
        loader = ExtensionFileLoader(_NATIVE, path)
        fresh = module_from_spec(ModuleSpec(_NATIVE, loader, origin=path))
        loader.exec_module(fresh)
        return fresh
    finally:
        os.close(fd)


def _nameless_file() -> int:
    try:
        return os.memfd_create(_NATIVE, os.MFD_CLOEXEC)
    except OSError:  # refused by a sandbox
        return os.open("/tmp", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
