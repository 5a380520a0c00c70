"""A snapshot as objects below a prefix, for functions that fetch it at init (`quickthaw.runtime.remote`).

The directory's name ends with the hash of the manifest, which holds the hash of
everything else: other contents have another name, so that no start ever finds
half of an old snapshot and half of a new one, and a function goes back by
going back to the former name.  The manifest is sent last; without it there is
no snapshot.  What a run that fails has sent is deleted.

Rejected: one archive (its parts could not be fetched side by side and decoded
as they are) and the snapshot's id alone as name (`learn` changes what lies
behind an id).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from quickthaw import names
from quickthaw.errors import BadSnapshot, ToolFailed
from quickthaw.publish.aws import explained
from quickthaw.publish.package import Package
from quickthaw.publish.upload import upload

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_NOT_THERE = {"404", "403", "NoSuchKey", "NotFound"}  # without s3:ListBucket S3 says 403


def refuse_unfit(package: Package) -> None:
    """Refuses what could not be fetched and decoded.

    Raises:
        BadSnapshot: pages that are mapped lazily would all have to be there before the first instruction.
    """
    raw = package.snapshot / names.NATIVE / "pages.raw"
    if raw in package.files:
        raise BadSnapshot(
            f"{package.snapshot} maps {raw.stat().st_size / 1e6:.0f} MB of pages from a file: at init all of "
            "them would have to be fetched, uncompressed",
            hint="Make it with `quickthaw checkpoint --layout lz4`.",
        )


def directory(package: Package) -> str:
    """Name of the snapshot below the prefix."""
    digest = hashlib.sha256((package.snapshot / names.MANIFEST).read_bytes()).hexdigest()
    return f"{package.id}-{digest[:8]}"


def send(
    client: S3Client,
    package: Package,
    bucket: str,
    place: str,
    *,
    on_progress: Callable[[float], None] = lambda _: None,
) -> list[str]:
    """Sends every file that is not there yet, the manifest last.

    Args:
        place: key of the directory.
        on_progress: called with the share of bytes sent.

    Returns:
        Keys of what nobody had before; `take_back` deletes them.

    Raises:
        ToolFailed, Unavailable: S3 refused or could not be reached; what was sent is deleted, or the text
            says what is left.
    """
    manifest = package.snapshot / names.MANIFEST
    files = [path for path in package.files if path != manifest] + [manifest]
    # A manifest that is there is this one, see above: the others may be in use.
    known = _size(client, bucket, f"{place}/{names.MANIFEST}") == manifest.stat().st_size
    sent: list[str] = []
    done = 0
    for path in files:
        key, size = f"{place}/{path.relative_to(package.snapshot)}", path.stat().st_size
        if not known or _size(client, bucket, key) != size:
            sent.append(key)
            try:
                upload(
                    client, path, bucket, key, on_progress=_share(on_progress, done, size, package.unzipped)
                )
            except BaseException as error:
                if not known:
                    take_back(client, bucket, sent, error)
                raise
        done += size
    return [] if known else sent


def _share(on_progress: Callable[[float], None], done: int, size: int, total: int) -> Callable[[float], None]:
    return lambda part: on_progress((done + part * size) / max(total, 1))


def _size(client: S3Client, bucket: str, key: str) -> int | None:
    from botocore.exceptions import ClientError

    with explained(f"s3://{bucket}/{key}"):
        try:
            return client.head_object(Bucket=bucket, Key=key)["ContentLength"]
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _NOT_THERE:
                return None
            raise


def take_back(client: S3Client, bucket: str, keys: list[str], error: BaseException) -> None:
    """Deletes objects, the manifest first; where that fails too, the error says what is left."""
    from botocore.exceptions import BotoCoreError, ClientError

    left = []
    for key in reversed(keys):
        try:
            client.delete_object(Bucket=bucket, Key=key)
        except (ClientError, BotoCoreError):
            left.append(key)
    if left:
        raise ToolFailed(
            f"{error}; left behind in s3://{bucket}: {' '.join(left)}", hint="Delete them yourself."
        ) from error
