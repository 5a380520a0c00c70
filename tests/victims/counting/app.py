"""Answers a sum and a freshly signed link; asked to count, it betrays that it was warmed up."""

import os
import secrets
import time
from typing import Any

CALLS: list[int] = []


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """The same for every fresh environment, but for the link's date and signature."""
    CALLS.append(1)
    key, day = os.environ["AWS_ACCESS_KEY_ID"], time.strftime("%Y%m%d")
    link = f"https://example.com/x?X-Amz-Credential={key}%2F{day}%2Fs3&X-Amz-Signature={secrets.token_hex(8)}"
    return {"sum": sum(event["numbers"]), "calls": len(CALLS) if event.get("count") else None, "link": link}
