"""An object store as a thaw sees it: where an object lies, and a request for it that S3 believes.

Only GET, only with the function's own credentials from its environment.  The
address follows the variables that the AWS SDKs follow: AWS_ENDPOINT_URL_S3,
AWS_ENDPOINT_URL (a VPC endpoint, or a test), else S3 of AWS_REGION.

Rejected: boto3 (200 ms of imports), `hmac`, `hashlib` and `urllib` (5 to 25 ms
for three functions that `_hashlib` has in C); presigned URLs (they end, a
function's configuration does not).

Source: AWS, "Signature Version 4 signing process"; for S3 the path is encoded
once, and x-amz-content-sha256 must be there.
"""

from __future__ import annotations

import _hashlib
import time

from quickthaw import names
from quickthaw.errors import Declined

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/")
_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # SHA-256 of no body


class Store:
    """The place of one snapshot in one bucket.

    Attributes:
        uri: as it was given; named in reasons.
        secure: https.
        host: to connect to.
        port: there.
        region: of the bucket, as the signature names it.

    Args:
        uri: s3://BUCKET/PREFIX.
        environ: the function's environment.

    Raises:
        Declined: no such place, or the environment lacks region or credentials.
    """

    def __init__(self, uri: str, environ: Mapping[str, str]) -> None:
        self.uri = uri.rstrip("/")
        bucket, _, prefix = self.uri.removeprefix(names.S3).partition("/")
        if not bucket or not prefix:
            raise Declined(f"cannot fetch {uri}: QUICKTHAW_SNAPSHOT must be s3://BUCKET/PREFIX")
        self.region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or ""
        self._key = environ.get("AWS_ACCESS_KEY_ID") or ""
        self._secret = environ.get("AWS_SECRET_ACCESS_KEY") or ""
        self._token = environ.get("AWS_SESSION_TOKEN") or ""
        if not self.region:
            raise Declined(f"cannot fetch {uri}: AWS_REGION is not set")
        if not self._key or not self._secret:
            raise Declined(f"cannot fetch {uri}: the environment holds no AWS credentials")
        endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
        domain = "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"
        if endpoint:
            path = f"/{bucket}/{prefix}"
        elif "." in bucket:  # no certificate fits such a name as a host
            endpoint, path = f"https://s3.{self.region}.{domain}", f"/{bucket}/{prefix}"
        else:
            endpoint, path = f"https://{bucket}.s3.{self.region}.{domain}", f"/{prefix}"
        self.secure, self.host, self.port, base = _parts(endpoint)
        default = 443 if self.secure else 80
        self._named = self.host if self.port == default else f"{self.host}:{self.port}"
        self._path = base + path
        self._signing: tuple[str, bytes] = ("", b"")

    def request(self, name: str, more: Mapping[str, str]) -> bytes:
        """A GET of one object of the snapshot, signed.

        Args:
            name: below the snapshot.
            more: headers besides (Range, If-Match); they are not signed and need not be.
        """
        target = _encoded(f"{self._path}/{name}")
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        headers = {"host": self._named, "x-amz-content-sha256": _NOTHING, "x-amz-date": stamp}
        if self._token:
            headers["x-amz-security-token"] = self._token
        authorization = self._authorization(target, headers, stamp)
        lines = [f"{key}: {value}" for key, value in {**headers, **more}.items()]
        return "\r\n".join(
            [f"GET {target} HTTP/1.1", *lines, f"authorization: {authorization}", "", ""]
        ).encode("latin-1")

    def _authorization(self, target: str, headers: dict[str, str], stamp: str) -> str:
        signed = ";".join(sorted(headers))
        listed = "".join(f"{key}:{headers[key]}\n" for key in sorted(headers))
        canonical = f"GET\n{target}\n\n{listed}\n{signed}\n{_NOTHING}"
        scope = f"{stamp[:8]}/{self.region}/s3/aws4_request"
        digest = _hashlib.openssl_sha256(canonical.encode()).hexdigest()
        if self._signing[0] != scope:
            key = b"AWS4" + self._secret.encode()
            for part in scope.split("/"):
                key = _hmac(key, part)
            self._signing = (scope, key)
        signature = _hmac(self._signing[1], f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}").hex()
        return (
            f"AWS4-HMAC-SHA256 Credential={self._key}/{scope}, SignedHeaders={signed}, Signature={signature}"
        )


def _hmac(key: bytes, text: str) -> bytes:
    return _hashlib.hmac_digest(key, text.encode(), "sha256")


def _parts(endpoint: str) -> tuple[bool, str, int, str]:
    """Scheme, host, port and path of an endpoint's URL."""
    scheme, separator, rest = endpoint.partition("://")
    authority, slash, path = rest.partition("/")
    host, colon, port = authority.rpartition(":") if not authority.endswith("]") else (authority, "", "")
    if not colon:
        host, port = authority, ""
    if scheme not in ("http", "https") or not separator or not host or (port and not port.isdecimal()):
        raise Declined(f"cannot fetch from the endpoint {endpoint}: it is no http:// or https:// address")
    secure = scheme == "https"
    return secure, host.strip("[]"), int(port) if port else 443 if secure else 80, (slash + path).rstrip("/")


def _encoded(path: str) -> str:
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in path.encode())
