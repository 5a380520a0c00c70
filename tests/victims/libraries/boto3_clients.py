"""Clients made at import with the checkpoint's keys: sessions, paginators, waiters and a signed link."""

from typing import Any

import boto3
from botocore.config import Config

SAME = ("region", "bucket", "paginator", "endpoint")
FRESH = ("link", "keys", "session", "resource")

SESSION: Any = boto3.Session()
CLIENT: Any = SESSION.client("s3", config=Config(signature_version="s3v4"))
TABLE: Any = boto3.resource("dynamodb").Table("victims")
STS = boto3.client("sts")
PAGINATOR: Any = CLIENT.get_paginator("list_objects_v2")
LINK = CLIENT.generate_presigned_url("get_object", {"Bucket": "bucket", "Key": "key"})


def handler(event: Any, context: Any) -> dict[str, Any]:
    link = CLIENT.generate_presigned_url("get_object", {"Bucket": "bucket", "Key": "key"})
    frozen = CLIENT._request_signer._credentials.get_frozen_credentials()
    return {
        "region": CLIENT.meta.region_name,
        "bucket": link.split("?")[0],
        "paginator": PAGINATOR.result_keys[0].expression,
        "endpoint": TABLE.meta.client.meta.endpoint_url,
        "link": link,
        "keys": [frozen.access_key, frozen.secret_key, frozen.token],
        "session": SESSION.get_credentials().access_key,
        "resource": TABLE.meta.client._request_signer._credentials.access_key,
    }
