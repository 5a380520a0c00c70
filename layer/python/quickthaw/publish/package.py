"""What of a snapshot is published, and its zip.

For Lambda that is the manifest and the native plan with its pages: CRIU needs
a capability there that nobody has, and its images would count against the
250 MB.  They come along on request, for containers elsewhere.  Uncompressed
pages (`checkpoint --keep-uncompressed`) never do.

Same snapshot, same bytes: entries are sorted and carry no time of their own,
so that a layer version can be compared with what was sent.
"""

from __future__ import annotations

import base64
import hashlib
import os
import zipfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from quickthaw import names
from quickthaw.checkpoint.verify import verify
from quickthaw.errors import BadSnapshot
from quickthaw.secrets import verdict
from quickthaw.secrets.wanted import Wanted
from quickthaw.snapshot import manifest

_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_FILE_MODE = 0o100644 << 16  # Lambda's user is not the owner


@dataclass(frozen=True, kw_only=True)
class Package:
    """A snapshot as it is sent.

    Attributes:
        files: below the snapshot directory, sorted.
        python: "python3.12", as Lambda names runtimes.
        architecture: as Lambda names it, "x86_64" or "arm64".
    """

    snapshot: Path
    id: str
    files: tuple[Path, ...]
    unzipped: int
    python: str
    architecture: str
    handler: str


def choose(
    snapshot: Path,
    *,
    images: bool,
    wanted: Wanted,
    allow: Collection[str] = (),
    on_progress: Callable[[float], None] = lambda _done: None,
) -> Package:
    """Verifies a snapshot, looks for secrets in it, and chooses its files.

    All of it is searched, also what is not sent: where a value was, it may be again.

    Args:
        images: take CRIU's images along.
        wanted: the secrets to look for.
        allow: names of those that may be in it.
        on_progress: called with the share of the search that is done.

    Raises:
        SecretFound: there is one that is not allowed.
        BadSnapshot: damaged, or without a native plan where only that was asked for.
    """
    problems = [
        f"{one.what}: {one.problem}" for one in verify(snapshot) if one.problem and one.what != "processor"
    ]
    if problems:
        raise BadSnapshot(
            f"{snapshot} is not published, it is damaged: {problems[0]}",
            hint="`quickthaw verify` shows everything; make the snapshot again with `quickthaw checkpoint`.",
        )
    verdict.examine(snapshot, wanted, allow=allow, on_progress=on_progress).enforce(
        f"{snapshot} is not published"
    )
    found = manifest.read(str(snapshot))
    if not images and not (snapshot / names.NATIVE / "plan").is_file():
        raise BadSnapshot(
            f"{snapshot} has no native plan, and CRIU cannot run in Lambda",
            hint="Make it with another --layout, or publish CRIU's images too with --images, for elsewhere.",
        )
    sent = [snapshot / names.MANIFEST, *(snapshot / names.NATIVE).rglob("*")]
    if images:
        kept = {snapshot / entry["path"] for entry in found.files}
        plain = {
            path.with_name(path.name.replace(".comp.img", ".img")) for path in kept if ".comp." in path.name
        }
        sent += kept - plain
    files = tuple(sorted({path for path in sent if path.is_file()}))
    version = str(found.body["python"]["version"]).split(".")
    return Package(
        snapshot=snapshot,
        id=found.id,
        files=files,
        unzipped=sum(path.stat().st_size for path in files),
        python=f"python{version[0]}.{version[1]}",
        architecture={"aarch64": "arm64"}.get(found.architecture, found.architecture),
        handler=found.handler,
    )


def write_zip(package: Package, target: Path) -> str:
    """Writes the zip whose entries appear below /opt; returns its SHA-256, in Lambda's base64.

    Pages are LZ4 mostly, and of those that are not (layouts hot and lazy) the
    fastest level takes what there is to take.
    """
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in package.files:
            inside = f"{Path(names.SNAPSHOT_PATH).name}/{path.relative_to(package.snapshot)}"
            entry = zipfile.ZipInfo(inside, date_time=_ZIP_EPOCH)
            entry.external_attr = _FILE_MODE
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.file_size = path.stat().st_size
            with path.open("rb") as source, archive.open(entry, "w") as sink:
                while piece := source.read(1 << 20):
                    sink.write(piece)
    with target.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    return base64.b64encode(digest).decode()


def copy_files(package: Package, target: Path) -> None:
    """Copies the files into a directory, readable for everybody."""
    for path in package.files:
        place = target / path.relative_to(package.snapshot)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())
        place.chmod(0o644)
    for directory, _, _ in os.walk(target):
        os.chmod(directory, 0o755)
