"""TLS contexts, and a handshake over memory that stopped in its middle."""

import contextlib
import ssl
from typing import Any

SAME = ("verify", "authorities", "hello", "options")
FRESH = ("random",)

CONTEXT = ssl.create_default_context()
CONTEXT.check_hostname = False
IN, OUT = ssl.MemoryBIO(), ssl.MemoryBIO()
_half = CONTEXT.wrap_bio(IN, OUT, server_hostname="example.com")


def _hello(context: ssl.SSLContext) -> bytes:
    """The client's first message; bytes 11 to 43 are its randomness."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = context.wrap_bio(incoming, outgoing, server_hostname="example.com")
    with contextlib.suppress(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


_hello(CONTEXT)


def handler(event: Any, context: Any) -> dict[str, Any]:
    hello = _hello(CONTEXT)
    return {
        "verify": CONTEXT.verify_mode.name,
        "authorities": CONTEXT.cert_store_stats()["x509_ca"] > 0,
        "hello": [hello[0], b"example.com" in hello],
        "options": CONTEXT.minimum_version.name,
        "random": hello[11:43].hex(),
    }
