"""TC3-HMAC-SHA256, the signature of Tencent Cloud API 3.0, as an authentication for `requests`.

The signature covers the body byte for byte, its content type and the host, and is good for five minutes.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from datetime import datetime, timezone
from urllib.parse import urlsplit

from requests import PreparedRequest
from requests.auth import AuthBase

ALGORITHM = "TC3-HMAC-SHA256"
SIGNED_HEADERS = "content-type;host"
_DEFAULT_PORTS = {"http": 80, "https": 443}


def canonical_request(host: str, content_type: str, body: bytes) -> str:
    """Return the normal form of a POST to `/`, in which both sides write down what is signed."""
    return (
        f"POST\n/\n\ncontent-type:{content_type}\nhost:{host}\n\n"
        f"{SIGNED_HEADERS}\n{hashlib.sha256(body).hexdigest()}"
    )


def credential_scope(timestamp: int, service: str) -> str:
    """Return what a signature is good for: the UTC day of `timestamp` (Unix seconds), and one service."""
    day = datetime.fromtimestamp(timestamp, tz=timezone.utc).strftime("%Y-%m-%d")
    return f"{day}/{service}/tc3_request"


def sign(canonical: str, *, secret_key: str, timestamp: int, service: str) -> str:
    """Return the signature of a canonical request at `timestamp` (Unix seconds), in hexadecimal."""
    scope = credential_scope(timestamp, service)
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"TC3{secret_key}".encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    return _hmac(key, f"{ALGORITHM}\n{timestamp}\n{scope}\n{digest}").hex()


class TC3Auth(AuthBase):
    """Signs each request that `requests` prepares, with the keys of that moment.

    Args:
        keys: returns (secret id, secret key, token or None); called once a request, so that temporary
            credentials may change between two.
        service: the service's name in the scope of the signature.
        clock: returns Unix time in seconds.
    """

    def __init__(
        self,
        keys: Callable[[], tuple[str, str, str | None]],
        *,
        service: str = "sms",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._service = service
        self._clock = clock

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Add `Authorization`, `Host`, `X-TC-Timestamp` and, for temporary keys, `X-TC-Token`.

        Raises:
            ValueError: the request has no `Content-Type`.
            TypeError: the body is a stream, which can't be signed before it is sent.
        """
        if "Content-Type" not in request.headers:
            msg = "a request needs a Content-Type to be signed"
            raise ValueError(msg)
        secret_id, secret_key, token = self._keys()
        timestamp = int(self._clock())
        host = _host(request)
        canonical = canonical_request(host, request.headers["Content-Type"], _body(request))
        signature = sign(canonical, secret_key=secret_key, timestamp=timestamp, service=self._service)

        request.headers["Host"] = host
        request.headers["X-TC-Timestamp"] = str(timestamp)
        request.headers["Authorization"] = (
            f"{ALGORITHM} Credential={secret_id}/{credential_scope(timestamp, self._service)}, "
            f"SignedHeaders={SIGNED_HEADERS}, Signature={signature}"
        )
        request.headers.pop("X-TC-Token", None)
        if token:
            request.headers["X-TC-Token"] = token
        return request


def _hmac(key: bytes, message: str) -> bytes:
    return hmac.digest(key, message.encode(), "sha256")


def _host(request: PreparedRequest) -> str:
    """Return the host as the URL has it, with its port unless that is the scheme's own."""
    url = urlsplit(request.url or "")
    name = url.hostname or ""
    host = f"[{name}]" if ":" in name else name
    if url.port is None or url.port == _DEFAULT_PORTS.get(str(url.scheme)):
        return host
    return f"{host}:{url.port}"


def _body(request: PreparedRequest) -> bytes:
    """Return the bytes that will be sent; a text is encoded here, so that no later layer does it anew."""
    if isinstance(request.body, str):
        request.body = request.body.encode()
    if request.body is None:
        return b""
    if not isinstance(request.body, bytes):
        msg = f"a body of type {type(request.body).__name__} can't be signed, only bytes and text"
        raise TypeError(msg)
    return request.body
