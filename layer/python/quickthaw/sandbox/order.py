"""The order for `enter`: a JSON object in a memory file, and how `enter` is called.

The one place that knows both sides of that interface.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

from quickthaw.names import LAMBDA_GID, LAMBDA_UID
from quickthaw.sandbox import seccomp
from quickthaw.sandbox.layout import layout
from quickthaw.sandbox.spec import SandboxSpec

Caps = frozenset[str] | Literal["all"]

# linux/capability.h; the few that somebody may want to keep by name
CAPABILITIES = {
    "CAP_DAC_OVERRIDE": 1, "CAP_SETGID": 6, "CAP_SETUID": 7, "CAP_SETPCAP": 8, "CAP_NET_ADMIN": 12,
    "CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21, "CAP_SYS_RESOURCE": 24, "CAP_CHECKPOINT_RESTORE": 40,
}  # fmt: skip

FILES_LIMIT = 1024  # Lambda's limit of descriptors
_ENTER = Path(__file__).with_name("enter.py")


def function_order(
    spec: SandboxSpec, argv: Sequence[str], env: Mapping[str, str], *, report: int, fds: Mapping[int, int]
) -> dict[str, Any]:
    """What `enter` is told for the function itself, by kind."""
    if spec.kind == "none":
        return plain_order(
            argv, env, cwd=layout(spec).task, report=report, fds=fds, supervised=True, new_session=True
        )
    keep: Caps = frozenset({"CAP_CHECKPOINT_RESTORE"}) if spec.kind == "criu" else frozenset()
    return plain_order(
        argv, env, cwd=layout(spec).task, report=report, fds=fds, new_session=True,
        uid=LAMBDA_UID, gid=LAMBDA_GID, caps=cap_numbers(keep), drop_bounding=True, no_new_privs=True,
        filters=seccomp.filters(allow_list=spec.kind == "lambda", deny=spec.deny), pid_floor=spec.pid_floor,
        limits={"RLIMIT_NOFILE": FILES_LIMIT, "RLIMIT_CORE": 0},
    )  # fmt: skip


def plain_order(
    argv: Sequence[str], env: Mapping[str, str], *, cwd: str, report: int | None, fds: Mapping[int, int],
    uid: int | None = None, gid: int | None = None, caps: list[int] | Literal["all"] | None = None,
    drop_bounding: bool = False, no_new_privs: bool = False, new_session: bool = False,
    supervised: bool = False, pid_floor: int = 0, filters: Iterable[bytes] = (),
    limits: Mapping[str, int] | None = None, die_with_parent: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Everything that `enter` reads; each key is always there."""
    return {
        "argv": list(argv),
        "environ": [f"{name}={value}" for name, value in env.items()],
        "cwd": cwd, "report": report, "fds": dict(fds), "parent": os.getpid(),
        "uid": uid, "gid": gid, "caps": [] if caps is None else caps,
        "drop_bounding": drop_bounding, "no_new_privs": no_new_privs, "new_session": new_session,
        "die_with_parent": die_with_parent, "supervised": supervised,
        "pid_floor": pid_floor, "limits": dict(limits or {}),
        "filters": [base64.b64encode(program).decode() for program in filters],
    }  # fmt: skip


def open_order(stack: ExitStack, order: Mapping[str, Any]) -> list[int]:
    """Descriptors of the order and of enter.py, in this order; inside there is no path to either."""
    script = os.open(_ENTER, os.O_RDONLY | os.O_CLOEXEC)
    stack.callback(os.close, script)
    return [memfd(stack, json.dumps(order).encode()), script]


def memfd(stack: ExitStack, content: bytes) -> int:
    file = stack.enter_context(os.fdopen(os.memfd_create("sandbox-order"), "r+b"))
    file.write(content)
    file.seek(0)
    return file.fileno()


def enter_command(spec: SandboxSpec, fds: Sequence[int]) -> list[str]:
    order, script = fds[:2]
    # -I -S: neither the user's site nor any .pth file may run with our privileges.
    return [layout(spec).python, "-I", "-S", f"/proc/self/fd/{script}", str(order)]


def enter_environ(spec: SandboxSpec) -> dict[str, str]:
    """For the interpreter that runs `enter`: where its libpython is, as seen where it runs."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LD_LIBRARY_PATH": layout(spec).lang_lib}


def cap_numbers(caps: Caps) -> list[int] | Literal["all"]:
    return "all" if caps == "all" else sorted(CAPABILITIES[name] for name in caps)
