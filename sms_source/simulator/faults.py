"""The ways in which a request can be made to fail."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any


class FaultKind(str, enum.Enum):
    """How a request fails. All but the first two strike a request that is in order."""

    RESET_UNREAD = "reset_unread"  #: the connection is reset before the request's body is read
    CLOSE_UNREAD = "close_unread"  #: the connection is closed before the request's body is read
    RESET = "reset"  #: the connection is reset (RST) instead of an answer
    CLOSE = "close"  #: the connection is closed (FIN) instead of an answer
    DELAY = "delay"  #: the answer comes after `seconds`; if nothing is popped, a close comes instead
    TRICKLE = "trickle"  #: the answer comes complete, in small pieces over `seconds`
    TRUNCATE = "truncate"  #: half of the body that Content-Length announces, then a close
    NOT_JSON = "not_json"  #: HTTP 200 with a body that is not JSON
    NO_RESPONSE = "no_response"  #: HTTP 200 with a JSON object without `Response`
    HTTP_STATUS = "http_status"  #: the HTTP `status`, with an HTML body
    API_ERROR = "api_error"  #: the API error `code`; pops nothing unless told to
    CONTENT_TYPE = "content_type"  #: a good answer labelled with `content_type`
    BODY = "body"  #: the bytes of `body` in place of the answer's
    GZIP = "gzip"  #: a good answer with `Content-Encoding: gzip`
    NO_REQUEST_ID = "no_request_id"  #: a good answer without a RequestId
    DUPLICATE_REQUEST_ID = "duplicate_request_id"  #: a good answer with the RequestId of the one before
    CLOSE_AFTER = "close_after"  #: a good answer, after which the connection closes unannounced


UNREAD = {FaultKind.RESET_UNREAD, FaultKind.CLOSE_UNREAD}
INTACT = {FaultKind.TRICKLE, FaultKind.CONTENT_TYPE, FaultKind.GZIP, FaultKind.CLOSE_AFTER}
INTACT |= {FaultKind.NO_REQUEST_ID, FaultKind.DUPLICATE_REQUEST_ID}


@dataclasses.dataclass(frozen=True)
class Fault:
    """One failure of one request. `popped` says whether records leave the queue; None is the kind's default.

    For a look-up, which has no queue, it says whether the records were looked up at all.
    """

    kind: FaultKind
    popped: bool | None = None
    code: str = "InternalError"
    status: int = 502
    seconds: float = 1.0
    body: bytes = b""
    content_type: str = "application/json; charset=utf-8"

    def __post_init__(self) -> None:
        if (self.kind in UNREAD and self.popped) or (self.kind in INTACT and self.popped is False):
            raise ValueError(f"a {self.kind.value} fault cannot have popped={self.popped}")

    @property
    def pops(self) -> bool:
        """Whether the records leave the queue."""
        if self.popped is None:
            return self.kind not in UNREAD and self.kind is not FaultKind.API_ERROR
        return self.popped

    @property
    def is_answered(self) -> bool:
        """Whether the answer carries its records, whole."""
        return self.kind in INTACT or (self.kind is FaultKind.DELAY and self.pops)


def to_fault(fault: str | Mapping[str, Any], **options: Any) -> Fault:
    """Return the fault that a command of the control API names, or has as an object."""
    fields = {"kind": fault, **options} if isinstance(fault, str) else dict(fault)
    body = fields.pop("body", "").encode("latin-1")
    return Fault(FaultKind(fields.pop("kind")), body=body, **fields)
