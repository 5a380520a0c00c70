"""Hash objects in the middle of their message, an HMAC, a compressor and a checksum."""

import hashlib
import hmac
import zlib
from typing import Any

SAME = ("sha", "blake", "hmac", "compressed", "shake")

SHA, BLAKE = hashlib.sha256(b"first"), hashlib.blake2b(b"first", key=b"key")
HMAC = hmac.new(b"key", b"first", "sha256")
SHAKE = hashlib.shake_128(b"first")
COMPRESSOR = zlib.compressobj()
HEAD = COMPRESSOR.compress(b"first" * 1000) + COMPRESSOR.flush(zlib.Z_SYNC_FLUSH)


def handler(event: Any, context: Any) -> dict[str, Any]:
    sha, blake, mac, compressor, shake = (
        SHA.copy(),
        BLAKE.copy(),
        HMAC.copy(),
        COMPRESSOR.copy(),
        SHAKE.copy(),
    )
    for thing in (sha, blake, mac, shake):
        thing.update(b"second")
    tail = compressor.compress(b"second" * 1000) + compressor.flush()
    return {
        "sha": sha.hexdigest(),
        "blake": blake.hexdigest(),
        "hmac": mac.hexdigest(),
        "compressed": zlib.decompress(HEAD + tail) == b"first" * 1000 + b"second" * 1000,
        "shake": shake.hexdigest(20),
    }
