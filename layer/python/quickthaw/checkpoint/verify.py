"""Is this snapshot whole, and would it be thawed here?

Everything that a thaw checks, and what it cannot afford to: SHA-256 of every
file, every block decoded, files that the manifest does not know.  Whether it
may go elsewhere is another question: `quickthaw.secrets`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import lz4.frame

from quickthaw import names
from quickthaw.errors import BadSnapshot
from quickthaw.runtime import checks
from quickthaw.sandbox.layout import inner_python, layout
from quickthaw.sandbox.process import start
from quickthaw.sandbox.spec import SandboxSpec
from quickthaw.secrets.verdict import Verdict
from quickthaw.snapshot import identity, manifest
from quickthaw.snapshot.pages import read_index

_WAIT_FD = 3  # of the process that holds the file system open


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One check.

    Attributes:
        what: what was looked at.
        problem: what is wrong; None where all is well.
        about: the snapshot's own bytes, this machine, a secret that the snapshot holds, or an engine
            that declines it everywhere (which is no problem of the snapshot, and is told).
    """

    what: str
    problem: str | None
    about: Literal["bytes", "machine", "secret", "engine"] = "bytes"


def verify(
    snapshot: Path, *, root: str | None = None, on_progress: Callable[[float], None] = lambda _done: None
) -> list[Finding]:
    """Checks a snapshot directory.

    Args:
        snapshot: the directory.
        root: where the file system that the function saw is found, "" for this one, to compare the
            mapped files; None leaves them out.
        on_progress: called with the share of bytes done.

    Raises:
        BadSnapshot: there is no manifest, or it is damaged.
    """
    found = manifest.read(str(snapshot))
    findings = [Finding(what="manifest", problem=None), *_strangers(snapshot, found)]
    total = sum(entry["size"] for entry in found.files) or 1
    done = 0
    for entry in found.files:
        findings.append(Finding(what=entry["path"], problem=_file(snapshot / entry["path"], entry)))
        done += entry["size"]
        on_progress(done / total)
    findings += [
        Finding(what=f"pages-{number} decodes", problem=_decodes(snapshot, pages))
        for number, pages in found.pages.items()
        if pages["file"]
    ]
    missing = set(found.cpu_flags) - checks.cpu_flags()
    machine = os.uname().machine
    findings.append(
        Finding(
            what="processor",
            problem=f"snapshot for {found.architecture}, this is {machine}"
            if machine != found.architecture
            else f"lacks {' '.join(sorted(missing))}"
            if missing
            else None,
            about="machine",
        )
    )
    findings += [
        Finding(what=f"criu engine starts cold: CRIU does not give back {what}", problem=None, about="engine")
        for what in criu_lacks(found)
    ]
    if root is not None:
        for entry in (*found.mapped, *found.sources):
            problem = identity.difference(entry, root)
            findings.append(Finding(what=entry["path"], problem=problem, about="machine"))
    return findings


def criu_lacks(found: manifest.Manifest) -> tuple[str, ...]:
    """What makes the criu engine start cold wherever the snapshot is thawed."""
    return tuple(found.body["process"].get("criu_lacks") or ())


def secrets(verdict: Verdict) -> list[Finding]:
    """A search for secrets as findings; what somebody took upon themselves is no problem."""
    findings = [Finding(what=f"secrets: {verdict.searched}", problem=None, about="secret")]
    findings += [
        Finding(what=f"secret {leak.name}, allowed, in {leak}", problem=None, about="secret")
        for leak in verdict.allowed
    ]
    findings += [
        Finding(what=f"secret {leak.name}", problem=f"in {leak}", about="secret") for leak in verdict.found
    ]
    return findings


@contextmanager
def lambda_root(*, task: Path, python: Path, runtime: Path, layer: Path) -> Iterator[str]:
    """A file system laid out as the function will find it, as a path to look into.

    Raises:
        Unavailable: no root, or no bubblewrap.
    """
    spec = SandboxSpec(python=python, task=task, layer=layer, snapshot=None, runtime=runtime)
    wait_r, wait_w = os.pipe()
    with open(os.devnull, "wb") as null:
        argv = [inner_python(python), "-I", "-S", "-c", f"import os; os.read({_WAIT_FD}, 1)"]
        environ = {"LD_LIBRARY_PATH": layout(spec).lang_lib}
        process = start(
            spec, argv, environ, stdout=null.fileno(), stderr=null.fileno(), pass_fds={_WAIT_FD: wait_r}
        )
    try:
        with process:
            yield f"/proc/{process.pid}/root"
    finally:
        os.close(wait_r)
        os.close(wait_w)


def _strangers(snapshot: Path, found: manifest.Manifest) -> list[Finding]:
    """Files beside the manifest's: a page file of another dump would be mistaken for this one's."""
    known = {entry["path"] for entry in found.files} | {names.MANIFEST}
    present = {str(path.relative_to(snapshot)) for path in snapshot.rglob("*") if path.is_file()}
    return [Finding(what=path, problem="not in the manifest") for path in sorted(present - known)]


def _file(path: Path, entry: dict[str, object]) -> str | None:
    try:
        size = path.stat().st_size
        if size != entry["size"]:
            return f"{size} bytes, the manifest says {entry['size']}"
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != entry["sha256"]:
                return "damaged: its SHA-256 is not the manifest's"
    except OSError as error:
        return str(error.strerror)
    return None


def _decodes(snapshot: Path, pages: dict[str, object]) -> str | None:
    path = snapshot / names.IMAGES / str(pages["file"])
    try:
        with path.open("rb") as raw:
            read_index(raw.fileno(), str(path))
        with lz4.frame.open(path) as file:
            size = 0
            while size < int(str(pages["content_size"])) and (piece := file.read(1 << 20)):
                size += len(piece)
    except (OSError, RuntimeError, EOFError, BadSnapshot) as error:
        return str(error)
    return (
        None
        if size == pages["content_size"]
        else f"{size} bytes of pages, the manifest says {pages['content_size']}"
    )
