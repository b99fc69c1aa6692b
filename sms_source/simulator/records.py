"""What the simulator is told and what it tells: settings, accounts, faults, pulls, counters."""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson


class FaultKind(str, enum.Enum):
    """The ways in which a pull can be made to fail. All but the first two strike a pull that is in order."""

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
    DUPLICATE_REQUEST_ID = "duplicate_request_id"  #: a good answer with the RequestId of the pull before
    CLOSE_AFTER = "close_after"  #: a good answer, after which the connection closes unannounced


UNREAD = {FaultKind.RESET_UNREAD, FaultKind.CLOSE_UNREAD}
INTACT = {FaultKind.TRICKLE, FaultKind.CONTENT_TYPE, FaultKind.GZIP, FaultKind.CLOSE_AFTER}
INTACT |= {FaultKind.NO_REQUEST_ID, FaultKind.DUPLICATE_REQUEST_ID}


@dataclasses.dataclass(frozen=True)
class Fault:
    """One failure of one pull. `popped` says whether replies leave the queue; None is the kind's default."""

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
        """Whether the replies leave the queue."""
        if self.popped is None:
            return self.kind not in UNREAD and self.kind is not FaultKind.API_ERROR
        return self.popped


class Outcome(str, enum.Enum):
    """What became of a pull, as the server saw it."""

    ANSWERED = "answered"  #: a good answer with replies
    EMPTY = "empty"  #: a good answer, the queue being empty
    REFUSED = "refused"  #: an API error, of the server's own accord
    FAULTED = "faulted"  #: a fault left no good answer


@dataclasses.dataclass(frozen=True)
class Pull:
    """One request for `PullSmsReplyStatus`, in the order in which the server decided them."""

    number: int  #: from 1
    time: float  #: the server's Unix time
    region: str
    request_id: str  #: the server's own, even if a fault kept it from the client; empty if it read nothing
    outcome: Outcome
    app_id: str = ""  #: empty if the request failed before its parameters were read
    limit: int = 0
    fault: FaultKind | None = None
    code: str = ""  #: of the API error answered
    replies: tuple[bytes, ...] = ()  #: the popped records as encoded JSON, in the answer's order
    sent: bool = False  #: the complete answer, good or not, was written to the socket without an error

    @property
    def delivered(self) -> bool:
        """Whether the replies went out in a good answer, complete."""
        return self.sent and self.outcome is Outcome.ANSWERED

    @property
    def records(self) -> list[Any]:
        """The popped records, decoded."""
        return [json.loads(reply) for reply in self.replies]


class HandedOut(NamedTuple):
    """A popped reply: its answer and place, its encoded JSON, and whether that was a good answer, sent."""

    request_id: str
    position: int
    reply: bytes
    delivered: bool


@dataclasses.dataclass(frozen=True)
class Stats:
    """Counters since the start."""

    requests: dict[str, int]  #: by action
    pulls: int
    outcomes: dict[str, int]
    faults: dict[str, int]
    codes: dict[str, int]  #: of every API error answered
    enqueued: int
    handed_out: int  #: replies popped
    lost: int  #: those of them that no good and complete answer carried
    limited: int  #: requests over the rate limit
    planned_faults: int  #: which still wait for their pull
    queued: dict[str, int]  #: what still waits, by "<app id>/<region>"


@dataclasses.dataclass(frozen=True)
class Settings:
    """How the server behaves; all of it can change while it runs."""

    rate_limit: int = 100  #: pulls a second for each account; 0 is no limit
    search_rate_limit: int = 20
    latency: float = 0.0  #: seconds between popping and answering
    empty_set: str = "list"  #: how no replies look: "list", "null" or "absent"
    page_size: int = 100  #: bounds an answer below its Limit, which makes short pages of a full queue
    keep_alive: bool = True  #: False announces and makes a close after each answer
    clock_skew: float = 0.0  #: seconds by which the server's clock is ahead

    def __post_init__(self) -> None:
        if self.empty_set not in ("list", "null", "absent"):
            raise ValueError('empty_set is "list", "null" or "absent"')
        if min(self.rate_limit, self.search_rate_limit, self.latency) < 0 or self.page_size < 1:
            raise ValueError("rate limits and latency are 0 or more, page_size is 1 or more")


@dataclasses.dataclass(frozen=True)
class Account:
    """A key pair, its application ids and, for temporary credentials, its token and when that expires."""

    secret_id: str
    secret_key: str = dataclasses.field(repr=False)
    app_ids: Sequence[str] = ()
    token: str | None = dataclasses.field(default=None, repr=False)
    token_expires: float | None = None


def to_json(value: Any) -> bytes:
    """The control API's JSON of anything made of the classes above."""
    return orjson.dumps(value, default=lambda raw: raw.decode("latin-1"))


def to_fault(fault: str | Mapping[str, Any], **options: Any) -> Fault:
    """Return the fault that a command of the control API names, or has as an object."""
    fields = {"kind": fault, **options} if isinstance(fault, str) else dict(fault)
    body = fields.pop("body", "").encode("latin-1")
    return Fault(FaultKind(fields.pop("kind")), body=body, **fields)


def to_pull(pull: Mapping[str, Any]) -> Pull:
    """Return the pull that the control API gives as an object."""
    fault = FaultKind(pull["fault"]) if pull["fault"] else None
    replies = tuple([reply.encode("latin-1") for reply in pull["replies"]])
    return Pull(**{**pull, "fault": fault, "outcome": Outcome(pull["outcome"]), "replies": replies})
