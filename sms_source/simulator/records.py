"""What the simulator tells of what it did: pulls, pushes, counters; and the accounts that it knows."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from .actions import REPLIES
from .faults import FaultKind


class Outcome(str, enum.Enum):
    """The outcome of a pull, as the server saw it."""

    ANSWERED = "answered"  #: a good answer with records
    EMPTY = "empty"  #: a good answer, with none
    REFUSED = "refused"  #: an API error, of the server's own accord
    FAULTED = "faulted"  #: a fault left no good answer


@dataclasses.dataclass(frozen=True)
class LogEntry:
    """One request for a queue, or one look-up, in the order in which the server decided them.

    Pulls and look-ups are logged apart, each numbered from 1.
    """

    number: int
    time: float  #: the server's Unix time
    region: str
    request_id: str  #: the server's own, even if a fault kept it from the client; empty if it read nothing
    outcome: Outcome
    feed: str = REPLIES  #: "replies" or "receipts"
    app_id: str = ""  #: empty if the request failed before its parameters were read
    limit: int = 0
    fault: FaultKind | None = None
    code: str = ""  #: of the API error answered
    raw: tuple[bytes, ...] = ()  #: the records taken as encoded JSON, in the answer's order
    sent: bool = False  #: the complete answer, good or not, was written to the socket without an error
    phone_number: str = ""  #: of a look-up, once its parameters were read
    is_look_up: bool = False

    @property
    def delivered(self) -> bool:
        """Whether the records went out in a good answer, complete."""
        return self.sent and self.outcome is Outcome.ANSWERED

    @property
    def records(self) -> list[Any]:
        """The records taken, decoded."""
        return [json.loads(record) for record in self.raw]

    @property
    def replies(self) -> tuple[bytes, ...]:
        """`raw`, where what is pulled are replies."""
        return self.raw


class HandedOut(NamedTuple):
    """A popped record: its answer and place, its encoded JSON, and whether that was a good answer, sent."""

    request_id: str
    position: int
    reply: bytes
    delivered: bool
    feed: str = REPLIES


@dataclasses.dataclass(frozen=True)
class Push:
    """One attempt to push records to a callback URL."""

    number: int  #: from 1
    time: float  #: the server's Unix time, when the attempt ended
    feed: str
    app_id: str
    url: str
    attempt: int  #: from 1
    count: int  #: records in it
    body: bytes
    status: int = 0  #: the HTTP status of the answer; 0 if none came
    answer: bytes = b""
    error: str = ""  #: why no answer came

    @property
    def accepted(self) -> bool:
        """Whether the answer was HTTP 200 and a JSON object with a `result` of 0."""
        try:
            value = json.loads(self.answer)
        except ValueError:
            return False
        return self.status == 200 and isinstance(value, dict) and value.get("result") == 0


@dataclasses.dataclass(frozen=True)
class Stats:
    """Counters since the start, of one feed or of both."""

    requests: dict[str, int]  #: by action
    pulls: int  #: of the queues
    look_ups: int
    outcomes: dict[str, int]  #: of pulls
    faults: dict[str, int]
    codes: dict[str, int]  #: of every API error answered
    enqueued: int
    handed_out: int  #: records popped
    lost: int  #: those of them that no good and complete answer carried
    limited: int  #: requests over the rate limit
    planned_faults: int  #: which still wait for their request, of any feed
    queued: dict[str, int]  #: what still waits, by "<app id>/<region>"
    pushes: int  #: attempts to push, of any feed, as the next three
    pushed: int  #: records in pushes that were accepted
    given_up: int  #: records in pushes that no attempt brought home
    to_push: int  #: records that wait for their push, or are in one


@dataclasses.dataclass(frozen=True)
class Account:
    """A key pair, its application ids and, for temporary credentials, its token and when that expires."""

    secret_id: str
    secret_key: str = dataclasses.field(repr=False)
    app_ids: Sequence[str] = ()
    token: str | None = dataclasses.field(default=None, repr=False)
    token_expires: float | None = None


def to_json(value: Any) -> bytes:
    """Return the control API's JSON of anything made of the classes above."""
    return orjson.dumps(value, default=lambda raw: raw.decode("latin-1"))


def to_log_entry(entry: Mapping[str, Any]) -> LogEntry:
    """Return the log entry that the control API gives as an object."""
    fault = FaultKind(entry["fault"]) if entry["fault"] else None
    raw = tuple([record.encode("latin-1") for record in entry["raw"]])
    return LogEntry(**{**entry, "fault": fault, "outcome": Outcome(entry["outcome"]), "raw": raw})


def to_push(push: Mapping[str, Any]) -> Push:
    """Return the push that the control API gives as an object."""
    return Push(
        **{**push, "body": push["body"].encode("latin-1"), "answer": push["answer"].encode("latin-1")}
    )


def encode(record: Any) -> bytes:
    """Return a record as the API would send it: bytes as they are, anything else as JSON in UTF-8."""
    if isinstance(record, bytes):
        return record
    try:
        return orjson.dumps(record)
    except TypeError:  # a lone surrogate, an integer over 64 bits: the standard library writes both
        return json.dumps(record, separators=(",", ":")).encode()


def decode(raw: bytes) -> Any:
    """Return the value of a record, None for what is not JSON as well as for null."""
    with contextlib.suppress(ValueError):
        return orjson.loads(raw)
    with contextlib.suppress(ValueError):  # a lone surrogate, an integer over 64 bits
        return json.loads(raw)
    return None
