"""What a sandbox is made of, as the caller says it.

The first step of the sandbox room: `layout` turns a spec into paths inside,
`bubblewrap` into a command line, `enter` into the state of one process.
Nothing here touches the system.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from quickthaw.errors import UsageError

Kind = Literal["lambda", "criu", "freeze", "none"]

DENIALS = frozenset(
    {
        "mm_map",  # prctl(PR_SET_MM, ...): EPERM, as a filter that knows CAP_SYS_RESOURCE would
        "madv_populate",  # madvise(MADV_POPULATE_READ|WRITE): EINVAL, as before Linux 5.14
        "madv_hugepage",  # madvise(MADV_HUGEPAGE): EINVAL, as without transparent huge pages
        "memfd",  # memfd_create: EPERM
        "mremap_vdso",  # mremap(MAYMOVE|FIXED), the only way to move the vdso: EPERM
        "lease",  # fcntl(F_SETLEASE): EACCES, as on a file of somebody else
    }
)


@dataclass(frozen=True)
class Bind:
    """One extra path to show inside."""

    host: Path
    inner: str
    writable: bool = False


@dataclass(frozen=True, kw_only=True)
class SandboxSpec:
    """One sandbox; every path is the host's.

    Attributes:
        python: Interpreter to run the function with; what is not under /usr appears at /var/lang.
        task: The function's directory, read-only at /var/task.
        layer: The built layer, its entries read-only under /opt.
        snapshot: Read-only at /opt/snapshot.
        runtime: Site directory with awslambdaric, read-only at /var/runtime.
        kind: "lambda" as the function has it on Lambda; "freeze" the same without the seccomp filter
            (CRIU would dump the filter, and restoring one takes CAP_SYS_ADMIN) and with clocks
            that begin at zero; "criu" as "freeze"
            and with CAP_CHECKPOINT_RESTORE ambient; "none" a plain process of the caller's user.
        memory_mb: Lambda's memory setting; the CPU share follows from it (1769 MB = 1 vCPU).
        tmp_bytes: Size of /tmp.
        binds: More paths, after all others.
        deny: Single refusals for tests, out of `DENIALS`; they hold in kind "criu" as well.
        pid_floor: The process and its threads get pids above this one; 0 leaves them as they come.
        cpu_limit: Throttle the CPU to the share of `memory_mb`, from `SandboxProcess.end_burst` on:
            Lambda leaves it free during init.
        memory_limit: Kill at `memory_mb`, page cache and /tmp counted in.
        disk_bytes_per_s: Throttle reads of the devices that hold the paths above, in bytes/s;
            shows only with a cold page cache.
    """

    python: Path
    task: Path | None = None
    layer: Path | None = None
    snapshot: Path | None = None
    runtime: Path | None = None
    kind: Kind = "lambda"
    memory_mb: int = 1769
    tmp_bytes: int = 512 << 20
    binds: tuple[Bind, ...] = ()
    deny: frozenset[str] = frozenset()
    pid_floor: int = 0
    cpu_limit: bool = False
    memory_limit: bool = False
    disk_bytes_per_s: int | None = None

    def __post_init__(self) -> None:
        unknown = self.deny - DENIALS
        if unknown:
            raise UsageError(
                f"nothing is known to deny as {', '.join(sorted(unknown))}",
                hint=f"choose among {', '.join(sorted(DENIALS))}",
            )
        for name in ("python", "task", "layer", "snapshot", "runtime"):
            path: Path | None = getattr(self, name)
            if path is not None and not path.exists():
                raise UsageError(f"{name}: {path} does not exist", hint="give an existing path")
