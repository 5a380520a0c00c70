"""What must be the same where the snapshot is thawed, and how each file of it is to be recognised."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from quickthaw import names
from quickthaw.errors import CannotFreeze
from quickthaw.runtime import checks
from quickthaw.snapshot import identity

# x86-64-v3 (psABI): what the fleet has; the checkpoint's environment keeps libraries from going beyond.
BASELINE_FLAGS = {
    "x86_64": [
        *("cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"),
        *("avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"),
    ],
    "aarch64": ["asimd", "atomics", "crc32"],
}

# Held during import and warm-up, gone after the wake.  glibc's and the BLAS kernels' choices stay in
# the snapshot, in relocated pointers; a choice beyond the baseline is an illegal instruction elsewhere.
BASELINE_ENVIRON = {
    "x86_64": {
        # No rseq either: Lambda's filter may refuse it, and a thread that is frozen between its creation and
        # its registration then ends the thawed process ("Fatal glibc error: rseq registration failed").
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX512CD,-AVX512DQ,-ERMS,-FSRM"
        ":glibc.pthread.rseq=0",
        "OPENBLAS_CORETYPE": "Haswell",
        # OpenSSL: no AVX-512, VAES, GFNI, SHA, ADX or RDSEED (leaf 7: EBX low, ECX high; OPENSSL_ia32cap(3)).
        "OPENSSL_ia32cap": ":~0x700F02F0000",
        "ARROW_USER_SIMD_LEVEL": "AVX2",
        # NumPy 2.4 and later, then before; names that a version does not know are ignored.
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR"
        " AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL",
    },
}


def machine() -> dict[str, Any]:
    """The manifest's `machine`.

    Raises:
        CannotFreeze: this CPU is below the baseline, so a snapshot made here fits nowhere.
    """
    kernel = os.uname()
    wanted = BASELINE_FLAGS.get(kernel.machine, [])
    missing = set(wanted) - checks.cpu_flags()
    if missing:
        raise CannotFreeze(
            f"this CPU lacks {' '.join(sorted(missing))}",
            hint="Make the snapshot on a CPU of x86-64-v3 or better.",
        )
    return {
        "arch": kernel.machine,
        "kernel": f"{kernel.release} {kernel.version}",
        "libc": " ".join(platform.libc_ver()),
        "cpu_flags": wanted,
    }


def mapped_files(pid: int) -> list[dict[str, Any]]:
    """The manifest's `mapped`: every file that the process maps, with paths as the process sees them.

    Without those of /tmp, which are no machine's: the native engine brings them along.

    Args:
        pid: as this process sees it.

    Raises:
        OSError: the process is gone.
    """
    paths = set()
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        fields = line.split(None, 5)
        if (
            len(fields) == 6
            and fields[4] != "0"
            and fields[5].startswith("/")
            and not fields[5].startswith("/tmp/")
            and not fields[5].endswith(" (deleted)")
        ):
            paths.add(fields[5])
    return [_identity(f"/proc/{pid}/root", path) for path in sorted(paths)]


def source_files(pid: int, modules: Iterable[str]) -> list[dict[str, Any]]:
    """The manifest's `sources`: code that was imported and is not mapped, so that new code is never missed.

    The function's own files, one by one; a file that a package brought is
    covered by the package's RECORD, which holds the hash of each (PEP 376).
    What neither is in sight of a thaw nor in a RECORD would cost 1500 stat
    calls for pandas alone.

    Args:
        pid: as this process sees it.
        modules: paths of loaded modules, as the process sees them.

    Raises:
        OSError: the process or a file is gone.
    """
    root = f"/proc/{pid}/root"
    records: dict[str, str] = {}
    for directory in (names.TASK_PATH, names.LAYER_PYTHON_PATH):
        for record in Path(root + directory).glob("*.dist-info/RECORD"):
            inner = str(record).removeprefix(root)
            for line in record.read_text().splitlines():
                records[f"{directory}/{line.partition(',')[0]}"] = inner
    wanted = set()
    for path in modules:
        source = path.removesuffix("c") if path.endswith(".pyc") else path
        if source.endswith(".py"):
            wanted.add(records.get(source, path))
    return [_identity(root, path) for path in sorted(wanted)]


def _identity(root: str, path: str) -> dict[str, Any]:
    real = Path(root + path)
    status = real.stat()
    found = identity.build_id(str(real))
    return {
        "path": path,
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "build_id": found,
        "crc32": None if found else identity.crc32(str(real)),
        "sha256": _sha256(real),
    }


def snapshot_files(snapshot: Path) -> list[dict[str, Any]]:
    """The manifest's `files`: every file of the snapshot but the manifest itself."""
    return [
        {
            "path": str(path.relative_to(snapshot)),
            "size": path.stat().st_size,
            "crc32": identity.crc32(str(path)),
            "sha256": _sha256(path),
        }
        for path in sorted(snapshot.rglob("*"))
        if path.is_file() and path.name != names.MANIFEST
    ]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
