"""bubblewrap's command line: the one file that spells it.

Namespaces for mounts, pids and System V IPC; not for the network, because the
Runtime API is reached over loopback.  The root is an empty tmpfs, made
read-only last, that holds only what a Lambda function would find.

A directory is bound as a whole when a foreign user may enter it.  When not
(``mkdtemp`` makes 0700, and Lambda unpacks packages into a directory of its
own anyway), its entries are bound one by one below a directory of ours.  The
layer is always bound like that, because the snapshot is mounted inside of it.
Rejected: copying (page cache and file identities would differ), idmapped
mounts (bubblewrap does not make them).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from quickthaw.errors import Unavailable
from quickthaw.names import (
    LAMBDA_GID,
    LAMBDA_UID,
    LANG_PATH,
    LAYER_PATH,
    RUNTIME_PATH,
    SNAPSHOT_PATH,
    TASK_PATH,
)
from quickthaw.sandbox.layout import interpreter, others_can_enter
from quickthaw.sandbox.spec import SandboxSpec

# No /dev/shm: Lambda has none (sem_open fails with ENOSYS there).
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")

# What programs need from /etc to resolve names, verify TLS and load libraries; no accounts, no secrets.
_ETC = (
    "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "os-release", "mime.types", "localtime",
    "ssl", "pki", "ca-certificates", "crypto-policies",
    "hosts", "resolv.conf", "nsswitch.conf", "host.conf", "gai.conf", "protocols", "services",
)  # fmt: skip

_USER = f"sbx_user1051:x:{LAMBDA_UID}:{LAMBDA_GID}::/home/sbx_user1051:/sbin/nologin"
_PASSWD = f"root:x:0:0:root:/root:/sbin/nologin\n{_USER}\n"
_GROUP = f"root:x:0:\nsbx_group:x:{LAMBDA_GID}:\n"


def executable() -> str:
    """Path of bwrap.

    Raises:
        Unavailable: It is not installed.
    """
    found = shutil.which("bwrap")
    if found is None:
        raise Unavailable(
            "bubblewrap (bwrap) is not installed", hint="apt-get install bubblewrap, or use --sandbox none"
        )
    return found


def written_files() -> dict[str, bytes]:
    """Files that are written into the root rather than bound: inner path -> content."""
    return {"/etc/passwd": _PASSWD.encode(), "/etc/group": _GROUP.encode()}


def arguments(spec: SandboxSpec, *, tmp: Path | None, info_fd: int, file_fds: dict[str, int]) -> list[str]:
    """The options for a sandbox; the caller appends "--" and the command.

    Args:
        tmp: What becomes /tmp; None for a tmpfs.
        info_fd: Descriptor that receives {"child-pid": host pid of the inner pid 1}.
        file_fds: Descriptors with the contents of `written_files`.
    """
    options = [
        "--unshare-pid", "--unshare-ipc",
        "--die-with-parent",  # nothing survives the tool
        "--info-fd", str(info_fd),
        "--clearenv",
        "--perms", "0755", "--dir", "/var",
    ]  # fmt: skip
    options += _system()
    options += ["--proc", "/proc", "--perms", "0755", "--dir", "/dev"]
    for name in _DEVICES:
        options += ["--dev-bind-try", f"/dev/{name}", f"/dev/{name}"]
    for name, target in (("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        options += ["--symlink", f"/proc/self/{target}", f"/dev/{name}"]
    if tmp is None:
        options += ["--perms", "1777", "--size", str(spec.tmp_bytes), "--tmpfs", "/tmp"]
    else:
        options += ["--bind", str(tmp), "/tmp"]
    for inner, fd in file_fds.items():
        options += ["--perms", "0644", "--file", str(fd), inner]
    python = interpreter(spec.python)
    if python.moved:
        options += _tree(python.prefix, LANG_PATH)
    options += _tree(spec.task, TASK_PATH)
    options += _tree(spec.runtime, RUNTIME_PATH)
    options += ["--perms", "0755", "--dir", LAYER_PATH]
    if spec.layer is not None:
        options += _entries(spec.layer, LAYER_PATH, skip=Path(SNAPSHOT_PATH).name)
    if spec.snapshot is not None:
        options += _tree(spec.snapshot, SNAPSHOT_PATH)
    for bind in spec.binds:
        options += ["--bind" if bind.writable else "--ro-bind", str(bind.host.resolve()), bind.inner]
    return [*options, "--remount-ro", "/", "--chdir", TASK_PATH]


def _system() -> Iterator[str]:
    """The distribution: /usr, its links in the root, and the few files of /etc."""
    yield from ("--ro-bind", "/usr", "/usr")
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/", name)
        if path.is_symlink():
            yield from ("--symlink", os.readlink(path), str(path))
        elif path.exists():
            yield from ("--ro-bind", str(path), str(path))
    yield from ("--perms", "0755", "--dir", "/etc")
    for name in _ETC:
        # Resolved here: some of these are links into /run, which is not there inside.
        path = Path("/etc", name)
        if path.exists():
            yield from ("--ro-bind", str(path.resolve()), str(path))


def _tree(host: Path | None, inner: str) -> Iterator[str]:
    """Bind a directory, as a whole where that is enough; an empty directory for None."""
    if host is not None and others_can_enter(host):
        yield from ("--ro-bind", str(host.resolve()), inner)
        return
    yield from ("--perms", "0755", "--dir", inner)
    if host is not None:
        yield from _entries(host, inner)


def _entries(host: Path, inner: str, *, skip: str = "") -> Iterator[str]:
    for entry in sorted(host.resolve().iterdir()):
        if entry.name == skip:
            continue
        if entry.is_symlink():
            yield from ("--symlink", os.readlink(entry), f"{inner}/{entry.name}")
        else:
            yield from ("--ro-bind", str(entry), f"{inner}/{entry.name}")
