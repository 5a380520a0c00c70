"""An S3 object in parts, each with its checksum; whole, or not there.

A part that fails (throttled, 5xx, the connection cut) is sent again by the
client, alone: what went through before stays.  When it goes on failing the
upload is aborted, so that no parts are left to be paid for, and the object
that was there before is untouched: S3 shows a multipart object when it is
completed, and not before.

Rejected: boto3's `upload_file`. It sends CRC-32 at best, and the figure that
S3 keeps cannot be compared with the file afterwards.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from quickthaw.errors import ToolFailed
from quickthaw.publish.aws import explained

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

PART_BYTES = 8 << 20  # S3: 5 MiB at least, but the last; 10,000 parts at most


@dataclass(frozen=True, kw_only=True)
class Uploaded:
    """An object as it lies in S3.

    Attributes:
        version: of the object, where the bucket keeps versions.
    """

    bucket: str
    key: str
    version: str | None
    parts: int


def upload(
    client: S3Client,
    file: Path,
    bucket: str,
    key: str,
    *,
    on_progress: Callable[[float], None] = lambda _: None,
) -> Uploaded:
    """Sends a file.

    Args:
        on_progress: called with the share of bytes sent.

    Raises:
        ToolFailed, Unavailable: S3 refused or could not be reached; the upload was aborted.
    """
    size = file.stat().st_size
    with explained(f"s3://{bucket}/{key}"):
        begun = client.create_multipart_upload(Bucket=bucket, Key=key, ChecksumAlgorithm="SHA256")
        upload_id = begun["UploadId"]
        try:
            parts: list[CompletedPartTypeDef] = []
            with file.open("rb") as source:
                while (piece := source.read(PART_BYTES)) or not parts:
                    number = len(parts) + 1
                    checksum = base64.b64encode(hashlib.sha256(piece).digest()).decode()
                    sent = client.upload_part(
                        Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=number, Body=piece,
                        ChecksumSHA256=checksum,
                    )  # fmt: skip
                    parts.append({"PartNumber": number, "ETag": sent["ETag"], "ChecksumSHA256": checksum})
                    on_progress(source.tell() / max(size, 1))
            done = client.complete_multipart_upload(
                Bucket=bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts}
            )
        except BaseException as error:
            _abort(client, bucket, key, upload_id, error)
            raise
        stored = client.head_object(Bucket=bucket, Key=key)["ContentLength"]
        if stored != size:
            raise ToolFailed(
                f"s3://{bucket}/{key} has {stored} bytes, {size} were sent", hint="Publish it again."
            )
    return Uploaded(bucket=bucket, key=key, version=done.get("VersionId"), parts=len(parts))


def _abort(client: S3Client, bucket: str, key: str, upload_id: str, error: BaseException) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)
    except (ClientError, BotoCoreError) as second:
        raise ToolFailed(
            f"s3://{bucket}/{key}: {error}; the upload could not be aborted: {second}",
            hint=f"Its parts cost until `aws s3api abort-multipart-upload --upload-id {upload_id}`.",
        ) from error


def split(place: str) -> tuple[str, str]:
    """Bucket and prefix of "BUCKET/PREFIX", with or without s3:// before it."""
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    return bucket, prefix.strip("/")
