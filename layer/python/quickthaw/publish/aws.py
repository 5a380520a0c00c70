"""The seam to AWS: how hard its clients try, and what its errors mean to a user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from quickthaw.errors import QuickthawError, ToolFailed, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client

# Throttling, 5xx and cut connections are tried again, with growing pauses of up to 20 s.
ATTEMPTS = 8


def _config() -> Any:
    from botocore.config import Config  # 200 ms, and only publishing needs it

    # Checksums are our own, part by part; botocore's default would add a second one of another kind.
    return Config(
        retries={"mode": "standard", "max_attempts": ATTEMPTS},
        connect_timeout=10,
        read_timeout=60,
        request_checksum_calculation="when_required",
    )


def lambda_client(region: str | None) -> LambdaClient:
    """A client of the Lambda API."""
    import boto3

    with explained("Lambda"):
        return boto3.client("lambda", region_name=region, config=_config())


def s3_client(region: str | None) -> S3Client:
    """A client of the S3 API."""
    import boto3

    with explained("S3"):
        return boto3.client("s3", region_name=region, config=_config())


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turns botocore's errors into ours, each with what to do."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

    try:
        yield
    except QuickthawError:
        raise
    except NoRegionError as error:
        raise Unavailable("no AWS region is set", hint="Give --region or set AWS_REGION.") from error
    except NoCredentialsError as error:
        raise Unavailable(
            "no AWS credentials", hint="Log in, or set AWS_PROFILE or the AWS_* keys."
        ) from error
    except ClientError as error:
        hints = {
            "ResourceNotFoundException": "Check the name, the region and the account.",
            "NoSuchBucket": "Check the bucket's name and region.",
            "AccessDenied": "It needs s3:PutObject, GetObject, AbortMultipartUpload below the prefix, and "
            "with --fetch DeleteObject.",
            "AccessDeniedException": "It needs lambda:PublishLayerVersion, GetLayerVersion and "
            "DeleteLayerVersion; with --function, Get- and UpdateFunctionConfiguration.",
            "PreconditionFailedException": "Somebody else changed the function meanwhile; try again.",
        }
        code = error.response.get("Error", {}).get("Code", "")
        raise ToolFailed(
            f"{what}: {error}", hint=hints.get(code, "Nothing is left behind; try again.")
        ) from error
    except BotoCoreError as error:
        raise Unavailable(
            f"{what}: {error}", hint="Check the network, the region and the endpoint."
        ) from error
