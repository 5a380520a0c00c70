"""Randomness of the operating system and of OpenSSL, through references taken at import."""

import os
import random
import secrets
import ssl
import uuid
from typing import Any

FRESH = ("system", "secret", "tls", "uuid1", "uuid4", "urandom")

SYSTEM = random.SystemRandom()
_used = [secrets.token_hex(), ssl.RAND_bytes(8), uuid.uuid1(), uuid.uuid4()]
uuid4 = uuid.uuid4


def handler(event: Any, context: Any) -> dict[str, Any]:
    return {
        "system": SYSTEM.random(),
        "secret": secrets.token_urlsafe(),
        "tls": ssl.RAND_bytes(16).hex(),
        "uuid1": str(uuid.uuid1()),
        "uuid4": str(uuid4()),
        "urandom": os.urandom(8).hex(),
    }
