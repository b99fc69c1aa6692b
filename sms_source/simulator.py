"""A local Tencent Cloud SMS API over real HTTP, for the demo, for tests and for load tests.

It answers ``PullSmsReplyStatus`` (a destructive queue per application id and region) and
``PullSmsReplyStatusByPhoneNumber`` (a search that consumes nothing), version 2021-01-11, and is as strict
as the API's documentation: TC3-HMAC-SHA256 signatures, common headers, parameters, rate limits. It can fail
on purpose, request by request, in every way that a network and an API can (`FaultKind`), and it logs what it
handed out (`Pull`), so that a test can hold what arrived against what was sent.

In a test's own process, or in a process of its own, with the same methods (`Controls`)::

    with Simulator(["1400006666"]) as simulator:  # or SimulatorProcess([...])
        simulator.enqueue("1400006666", demo_replies(250, seed=1, now=int(time.time())))
        simulator.fail_next("reset", after=1)
        ...  # pull from simulator.url with simulator.secret_id and simulator.secret_key
        assert simulator.stats().handed_out == 250

From a shell: ``python -m sms_source.simulator --demo-replies 500`` prints its URL and serves until it is
stopped.

The control API, on the same port and for loopback peers only. Answers are JSON; a wrong call answers 400
with ``{"error": …}``. Bytes travel as base64 text. A fault is an object of `Fault`'s fields, or null.

=====================================  ================================================================
``POST /_simulator/enqueue``           ``app_id``, ``records`` (JSON values) and/or ``raw`` (encoded JSON,
                                       base64), ``region``; answers with the number enqueued
``POST /_simulator/faults``            ``faults`` (a list), ``app_id`` (optional): for the next pulls
``POST /_simulator/faults/cycle``      ``faults``: over and over, once the next ones are used up
``POST /_simulator/faults/random``     ``mix`` (a list of ``[fault, probability]``), ``seed``
``POST /_simulator/faults/clear``      no argument: no more faults
``POST /_simulator/settings``          any fields of `Settings`; answers with all of them
``POST /_simulator/accounts``          the fields of `Account`: adds or replaces one
``POST /_simulator/tokens``            ``secret_id``, ``token``, ``expires`` (Unix time or null)
``GET  /_simulator/stats``             the fields of `Stats`
``GET  /_simulator/log?start=&stop=``  the fields of `Pull`, a list; ``start`` and ``stop`` slice it
=====================================  ================================================================
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import dataclasses
import enum
import functools
import gzip
import hashlib
import hmac
import http.client
import ipaddress
import itertools
import json
import os
import random
import re
import signal
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid
from abc import ABC, abstractmethod
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

VERSION = "2021-01-11"
PULL = "PullSmsReplyStatus"
SEARCH = "PullSmsReplyStatusByPhoneNumber"
REGIONS = ("ap-guangzhou", "ap-beijing", "ap-nanjing", "ap-singapore")
DEFAULT_REGION = REGIONS[0]
DEFAULT_APP_ID = "1400006666"
DEFAULT_SECRET_ID = "AKIDSimulatorEXAMPLE"
DEFAULT_SECRET_KEY = "SimulatorKeyEXAMPLE"
CONTROL_PATH = "/_simulator/"

_MAX_CLOCK_SKEW = 300
_MAX_SEARCH_AGE = 7 * 86400
_MAX_HEAD = 65536
_LIMITS, _UNIX_TIMES = range(1, 101), range(4102444800)
_PARAMETERS: dict[str, dict[str, range | type[str]]] = {
    PULL: {"Limit": _LIMITS, "SmsSdkAppId": str},
    SEARCH: {
        "BeginTime": _UNIX_TIMES,
        "EndTime": _UNIX_TIMES,
        "Offset": range(1),
        "Limit": _LIMITS,
        "PhoneNumber": str,
        "SmsSdkAppId": str,
    },
}
_OPTIONAL = frozenset({"EndTime"})
_E164 = re.compile(r"\+[1-9][0-9]{4,14}")
_AUTHORIZATION = re.compile(
    r"TC3-HMAC-SHA256 +Credential=(?P<secret_id>[^/,\s]+)/(?P<date>[^/,\s]+)/"
    r"(?P<service>[^/,\s]+)/tc3_request"
    r", *SignedHeaders=(?P<signed>[a-z0-9-]+(?:;[a-z0-9-]+)*), *Signature=(?P<signature>[0-9a-f]{64})"
)


# ---------------------------------------------------------------------------------------------- vocabulary


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


_UNREAD = frozenset({FaultKind.RESET_UNREAD, FaultKind.CLOSE_UNREAD})
_INTACT = frozenset(
    {
        FaultKind.TRICKLE,
        FaultKind.CONTENT_TYPE,
        FaultKind.GZIP,
        FaultKind.NO_REQUEST_ID,
        FaultKind.DUPLICATE_REQUEST_ID,
        FaultKind.CLOSE_AFTER,
    }
)


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
        """Refuse what could not happen: an unread request that pops, a good answer that hides its replies."""
        if (self.kind in _UNREAD and self.popped) or (self.kind in _INTACT and self.popped is False):
            raise ValueError(f"a {self.kind.value} fault cannot have popped={self.popped}")
        if self.seconds < 0 or not 200 <= self.status <= 599:
            raise ValueError("a fault's seconds are 0 or more, and its status is 200 to 599")

    @property
    def pops(self) -> bool:
        """Whether the replies leave the queue."""
        if self.popped is None:
            return self.kind not in _UNREAD and self.kind is not FaultKind.API_ERROR
        return self.popped

    def to_json(self) -> dict[str, Any]:
        """Return the fault as the control API takes it."""
        return {**dataclasses.asdict(self), "kind": self.kind.value, "body": _to_base64(self.body)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | None) -> Fault | None:
        """Return the fault that the control API was given, or None for null."""
        if value is None:
            return None
        changes = {"kind": FaultKind(value["kind"]), "body": base64.b64decode(value.get("body", ""))}
        return cls(**{**value, **changes})


class Outcome(str, enum.Enum):
    """What became of a pull, as the server saw it."""

    ANSWERED = "answered"  #: a good answer with replies
    EMPTY = "empty"  #: a good answer, the queue being empty
    REFUSED = "refused"  #: an API error, of the server's own accord
    FAULTED = "faulted"  #: a fault left no good answer


@dataclasses.dataclass(frozen=True)
class Pull:
    """One request for `PullSmsReplyStatus`, in the order in which the server decided them.

    `number` counts from 1; `time` is the server's Unix time; `request_id` is the server's own, even if a
    fault kept it from the client, and empty if the request was not read. `app_id` is empty and `limit` 0 if
    the request failed before its parameters were read. `code` is the API error answered, if any. `replies`
    are the popped records as encoded JSON, in the answer's order. `sent` says that the complete answer, good
    or not, was written to the socket without an error.
    """

    number: int
    time: float
    region: str
    request_id: str
    outcome: Outcome
    app_id: str = ""
    limit: int = 0
    fault: FaultKind | None = None
    code: str = ""
    replies: tuple[bytes, ...] = ()
    sent: bool = False

    @property
    def delivered(self) -> bool:
        """Whether the replies went out in a good answer, complete."""
        return self.sent and self.outcome is Outcome.ANSWERED

    @property
    def records(self) -> list[Any]:
        """The popped records, decoded."""
        return [json.loads(reply) for reply in self.replies]

    def to_json(self) -> dict[str, Any]:
        """Return the pull as the control API tells it."""
        return {**vars(self), "replies": [_to_base64(reply) for reply in self.replies]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Pull:
        """Return the pull that the control API told."""
        changes = {
            "fault": value["fault"] and FaultKind(value["fault"]),
            "outcome": Outcome(value["outcome"]),
            "replies": tuple(base64.b64decode(reply) for reply in value["replies"]),
        }
        return cls(**{**value, **changes})


class HandedOut(NamedTuple):
    """A popped reply: its answer and place, its encoded JSON, and whether that was a good answer, sent."""

    request_id: str
    position: int
    reply: bytes
    delivered: bool


@dataclasses.dataclass(frozen=True)
class Stats:
    """Counters since the start; `queued` maps ``"<app id>/<region>"`` to what still waits there.

    `requests` counts by action, `codes` every API error answered; `handed_out` are replies popped, and
    `lost` those of them that no good and complete answer carried; `limited` counts requests over the rate
    limit, `planned_faults` the faults that still wait for their pull.
    """

    requests: dict[str, int]
    pulls: int
    outcomes: dict[str, int]
    faults: dict[str, int]
    codes: dict[str, int]
    enqueued: int
    handed_out: int
    lost: int
    limited: int
    planned_faults: int
    queued: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Settings:
    """How the server behaves; all of it can change while it runs.

    `rate_limit` and `search_rate_limit` are requests a second for each account (0: no limit); the defaults
    are the documented ones. `latency` is the time in seconds between popping and answering. `empty_set` is
    how no replies look: ``"list"``, ``"null"`` or ``"absent"``. `page_size` bounds an answer below its Limit,
    which makes short pages of a full queue. `keep_alive` false announces and makes a close after each answer.
    `clock_skew` is how many seconds the server's clock is ahead.
    """

    rate_limit: int = 100
    search_rate_limit: int = 20
    latency: float = 0.0
    empty_set: str = "list"
    page_size: int = 100
    regions: Sequence[str] = REGIONS
    keep_alive: bool = True
    clock_skew: float = 0.0

    def __post_init__(self) -> None:
        """Refuse settings without a meaning."""
        if self.empty_set not in ("list", "null", "absent"):
            raise ValueError('empty_set is "list", "null" or "absent"')
        if min(self.rate_limit, self.search_rate_limit, self.latency) < 0 or self.page_size < 1:
            raise ValueError("rate limits and latency are 0 or more, page_size is 1 or more")


@dataclasses.dataclass(frozen=True)
class Account:
    """A Tencent Cloud account: its key pair, its application ids and, for temporary credentials, its token.

    `token_expires` is the Unix time from which the token is refused; None is never.
    """

    secret_id: str
    secret_key: str = dataclasses.field(repr=False)
    app_ids: Sequence[str] = ()
    token: str | None = dataclasses.field(default=None, repr=False)
    token_expires: float | None = None


class ApiError(Exception):
    """An error as the API answers it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.code = code
        self.message = message


# ----------------------------------------------------------------------------------------------- the service


class _Request(NamedTuple):
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class _Delivery(NamedTuple):
    """A whole HTTP message, the fault in its way, and the pull it answers (0 for another action)."""

    message: bytes
    fault: Fault | None = None
    pull: int = 0


def authenticate(request: _Request, accounts: Mapping[str, Account], now: float) -> Account:
    """Return the account whose TC3-HMAC-SHA256 signature the request bears, or raise the `ApiError` due.

    The rules are those of the API's signature documentation; header values are trimmed and lower-cased.
    """
    headers = request.headers
    for name in ("Host", "Content-Type", "X-TC-Action", "X-TC-Version", "X-TC-Timestamp"):
        if not headers.get(name.lower()):
            raise ApiError("MissingParameter", f"The request is missing the header {name}.")
    match, signed = _read_authorization(headers.get("authorization", ""))
    timestamp = headers["x-tc-timestamp"]
    if not re.fullmatch("[0-9]{1,11}", timestamp):
        raise ApiError("InvalidParameterValue", "X-TC-Timestamp is not a Unix time.")
    if abs(now - int(timestamp)) > _MAX_CLOCK_SKEW:
        raise ApiError(
            "AuthFailure.SignatureExpire", "X-TC-Timestamp is over 5 minutes off the server's time."
        )
    account = accounts.get(match["secret_id"])
    if account is None:
        raise ApiError("AuthFailure.SecretIdNotFound", "The SecretId does not exist.")
    date = time.strftime("%Y-%m-%d", time.gmtime(int(timestamp)))
    if match["date"] != date or match["service"] != "sms":
        raise ApiError("AuthFailure.SignatureFailure", "The credential's date or service is wrong.")
    if any(name not in headers for name in signed):
        raise ApiError("AuthFailure.SignatureFailure", "A signed header is missing.")
    canonical_headers = "".join(f"{name}:{headers[name].lower()}\n" for name in signed)
    canonical_request = "\n".join(
        (
            request.method,
            "/",
            "",
            canonical_headers,
            match["signed"],
            hashlib.sha256(request.body).hexdigest(),
        )
    )
    digest = hashlib.sha256(canonical_request.encode("latin-1")).hexdigest()
    string_to_sign = f"TC3-HMAC-SHA256\n{timestamp}\n{date}/sms/tc3_request\n{digest}"
    signature = hmac.digest(_signing_key(account.secret_key, date), string_to_sign.encode(), "sha256").hex()
    if not hmac.compare_digest(signature, match["signature"]):
        raise ApiError("AuthFailure.SignatureFailure", "The signature does not fit the request.")
    expired = account.token_expires is not None and now >= account.token_expires
    if headers.get("x-tc-token") != account.token or expired:
        raise ApiError("AuthFailure.TokenFailure", "The token is wrong or has expired.")
    return account


def _read_authorization(value: str) -> tuple[re.Match[str], list[str]]:
    match = _AUTHORIZATION.fullmatch(value)
    signed = match["signed"].split(";") if match else []
    if match is None or signed != sorted(set(signed)) or not {"content-type", "host"} <= set(signed):
        raise ApiError(
            "AuthFailure.InvalidAuthorization",
            "Authorization is missing or malformed; SignedHeaders are sorted, with content-type and host.",
        )
    return match, signed


@functools.lru_cache(maxsize=64)
def _signing_key(secret_key: str, date: str) -> bytes:
    key = f"TC3{secret_key}".encode()
    for part in (date, "sms", "tc3_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _parameters(action: str, body: bytes) -> dict[str, Any]:
    try:
        values = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ApiError("FailedOperation.JsonParseFail", "The request body is not JSON.") from None
    if not isinstance(values, dict):
        raise ApiError("InvalidParameter", "The request body is not a JSON object.")
    allowed = _PARAMETERS[action]
    for name in values:
        if name not in allowed:
            raise ApiError("UnknownParameter", f"The parameter {name!r} is not recognized.")
    for name, domain in allowed.items():
        if name not in values:
            if name in _OPTIONAL:
                continue
            raise ApiError("MissingParameter", f"The request is missing the parameter {name}.")
        if type(values[name]) is not (str if domain is str else int):
            raise ApiError("InvalidParameter", f"The type of the parameter {name} is wrong.")
        if isinstance(domain, range) and values[name] not in domain:
            raise ApiError("InvalidParameterValue", f"{name} is not within {domain[0]} to {domain[-1]}.")
    return values


class _FaultPlan:
    """Which fault a pull meets: one planned for its application, else the next of all, else a stream's."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._next: dict[str | None, deque[Fault | None]] = defaultdict(deque)
        self.follow(itertools.repeat(None))

    def follow(self, stream: Iterator[Fault | None]) -> None:
        self._stream = stream
        self._drawn: deque[Fault | None] = deque()

    def add(self, faults: Iterable[Fault | None], app_id: str | None) -> None:
        self._next[app_id].extend(faults)

    def take(self, app_id: str) -> Fault | None:
        if self._next.get(app_id):
            return self._next[app_id].popleft()
        return self._head().popleft()

    def take_unread(self) -> Fault | None:
        fault = self._head()[0]
        return self._head().popleft() if fault and fault.kind in _UNREAD else None

    def __len__(self) -> int:
        return sum(fault is not None for faults in self._next.values() for fault in faults)

    def _head(self) -> deque[Fault | None]:
        if self._next[None]:
            return self._next[None]
        if not self._drawn:
            self._drawn.append(next(self._stream))
        return self._drawn


class _Service:
    """The API itself: accounts, queues, checks, faults and the log. Knows HTTP messages, but no sockets."""

    def __init__(self, account: Account, settings: Settings, clock: Callable[[], float]) -> None:
        self.settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._accounts: dict[str, Account] = {}
        self._owners: dict[str, str] = {}
        self._queues: dict[tuple[str, str], deque[bytes]] = defaultdict(deque)
        self._history: dict[tuple[str, str], list[bytes]] = defaultdict(list)
        self._windows: dict[tuple[str, str], deque[float]] = defaultdict(deque)
        self._faults = _FaultPlan()
        self._log: list[Pull] = []
        self._requests: Counter[str] = Counter()
        self._outcomes: Counter[str] = Counter()
        self._struck: Counter[str] = Counter()
        self._codes: Counter[str] = Counter()
        self._enqueued = self._handed_out = self._lost = self._limited = 0
        self.add_account(**vars(account))
        self.commands: dict[str, Callable[..., Any]] = {
            "enqueue": self.enqueue,
            "faults": self.plan_faults,
            "faults/cycle": self.cycle_faults,
            "faults/random": self.mix_faults,
            "faults/clear": self.clear_faults,
            "settings": self.configure,
            "accounts": self.add_account,
            "tokens": self.set_token,
            "stats": self.stats,
            "log": self.log,
        }

    # The API.

    def begin(self, headers: Mapping[str, str]) -> _Delivery | None:
        """Note a request whose head has arrived; a delivery if it is to fail before its body is read."""
        with self._lock:
            action, region = headers.get("x-tc-action", ""), headers.get("x-tc-region", "")
            self._requests[action] += 1
            if action != PULL or (fault := self._faults.take_unread()) is None:
                return None
            return _Delivery(b"", fault, self._record(Outcome.FAULTED, region, fault=fault.kind))

    def answer(self, request: _Request) -> _Delivery:
        """Answer a request of the API."""
        action, region = request.headers.get("x-tc-action", ""), request.headers.get("x-tc-region", "")
        request_id = str(uuid.uuid4())
        try:
            account = self._admit(request, action, region)
            parameters = _parameters(action, request.body)
            app_id = parameters["SmsSdkAppId"]
            if app_id not in self._owners:
                raise ApiError("InvalidParameterValue.SdkAppIdNotExist", "The SdkAppId does not exist.")
            if self._owners[app_id] != account.secret_id:
                raise ApiError("UnauthorizedOperation.SmsSdkAppIdVerifyFail", "Another account's SdkAppId.")
            if action == PULL:
                return self._pull(app_id, region, parameters["Limit"], request_id)
            return _Delivery(_message(self._good_body(self._search(region, parameters), request_id)))
        except ApiError as error:
            pull, message = 0, _message(_error_body(error.code, error.message, request_id))
            with self._lock:
                self._codes[error.code] += 1
                self._limited += error.code == "RequestLimitExceeded"
                if action == PULL:
                    pull = self._record(Outcome.REFUSED, region, request_id, code=error.code)
            return _Delivery(message, None, pull)

    def settle(self, pull: int, *, sent: bool) -> None:
        """Set whether the answer to pull number `pull` (0 for none) was sent."""
        with self._lock:
            if pull:
                before = self._log[pull - 1]
                after = self._log[pull - 1] = dataclasses.replace(before, sent=sent)
                self._lost += len(before.replies) * (before.delivered - after.delivered)

    def _admit(self, request: _Request, action: str, region: str) -> Account:
        if request.method != "POST" or request.target != "/":
            raise ApiError("UnsupportedProtocol", "The request is not a POST of /.")
        account = authenticate(request, self._accounts, self._clock() + self.settings.clock_skew)
        if request.headers["content-type"].partition(";")[0].strip().lower() != "application/json":
            raise ApiError("UnsupportedProtocol", "The content type is not application/json.")
        if action not in _PARAMETERS:
            raise ApiError("InvalidAction", "The action does not exist.")
        if request.headers["x-tc-version"] != VERSION:
            raise ApiError("NoSuchVersion", "The version does not exist.")
        if not region:
            raise ApiError("MissingParameter", "The request is missing the header X-TC-Region.")
        if region not in self.settings.regions:
            raise ApiError("UnsupportedRegion", "The region is not supported.")
        limit = self.settings.rate_limit if action == PULL else self.settings.search_rate_limit
        if limit:
            self._count_request(account.secret_id, action, limit)
        return account

    def _count_request(self, secret_id: str, action: str, limit: int) -> None:
        with self._lock:
            now = self._clock()
            window = self._windows[secret_id, action]
            while window and window[0] <= now - 1:
                window.popleft()
            if len(window) >= limit:
                raise ApiError("RequestLimitExceeded", f"There are more than {limit} requests a second.")
            window.append(now)

    def _pull(self, app_id: str, region: str, limit: int, request_id: str) -> _Delivery:
        with self._lock:
            fault = self._faults.take(app_id)
            replies: tuple[bytes, ...] = ()
            if fault is None or fault.pops:
                queue = self._queues[app_id, region]
                count = min(limit, self.settings.page_size, len(queue))
                replies = tuple([queue.popleft() for _ in range(count)])
            if fault and fault.kind is FaultKind.DUPLICATE_REQUEST_ID and self._log:
                request_id = self._log[-1].request_id
            good = fault is None or (fault.pops and fault.kind in {*_INTACT, FaultKind.DELAY})
            pull = self._record(
                Outcome.FAULTED if not good else Outcome.ANSWERED if replies else Outcome.EMPTY,
                region,
                request_id,
                app_id=app_id,
                limit=limit,
                fault=fault.kind if fault else None,
                code=fault.code if fault and fault.kind is FaultKind.API_ERROR else "",
                replies=replies,
            )
            if self._log[-1].code:
                self._codes[self._log[-1].code] += 1
        return _Delivery(self._pull_message(fault, replies, request_id), fault, pull)

    def _record(self, outcome: Outcome, region: str, request_id: str = "", **details: Any) -> int:
        # Logged before the client can know of it, so that whoever saw an answer finds it in the log.
        number, now = len(self._log) + 1, self._clock() + self.settings.clock_skew
        pull = Pull(number, now, region, request_id, outcome, **details)
        self._log.append(pull)
        self._outcomes[outcome.value] += 1
        if pull.fault:
            self._struck[pull.fault.value] += 1
        self._handed_out += len(pull.replies)
        self._lost += len(pull.replies)
        return number

    def _search(self, region: str, parameters: Mapping[str, Any]) -> list[bytes]:
        phone_number, begin = parameters["PhoneNumber"], parameters["BeginTime"]
        now = int(self._clock() + self.settings.clock_skew)
        end = parameters.get("EndTime", now)
        if not _E164.fullmatch(phone_number):
            raise ApiError("InvalidParameterValue.IncorrectPhoneNumber", "The phone number is not in E.164.")
        if begin < now - _MAX_SEARCH_AGE or end < begin:
            raise ApiError("InvalidParameterValue", "BeginTime is over 7 days back, or after EndTime.")
        with self._lock:
            history = self._history[parameters["SmsSdkAppId"], region]
            wanted = [reply for reply in history if phone_number.encode() in reply]
        found = (reply for reply in wanted if _matches(reply, phone_number, begin, end))
        return list(itertools.islice(found, parameters["Limit"]))

    def _good_body(self, replies: Sequence[bytes], request_id: str | None) -> bytes:
        fields = []
        if replies or self.settings.empty_set == "list":
            fields.append(b'"PullSmsReplyStatusSet":[' + b",".join(replies) + b"]")
        elif self.settings.empty_set == "null":
            fields.append(b'"PullSmsReplyStatusSet":null')
        if request_id is not None:
            fields.append(b'"RequestId":"' + request_id.encode() + b'"')
        return b'{"Response":{' + b",".join(fields) + b"}}"

    def _pull_message(self, fault: Fault | None, replies: Sequence[bytes], request_id: str) -> bytes:
        body = self._good_body(replies, request_id)
        if fault is None:
            return _message(body)
        match fault.kind:
            case FaultKind.TRUNCATE:
                return _message(body)[: -(len(body) // 2)]
            case FaultKind.NOT_JSON:
                return _message(b"<html><body>upstream request timeout</body></html>")
            case FaultKind.NO_RESPONSE:
                return _message(b'{"RequestId":"' + request_id.encode() + b'"}')
            case FaultKind.HTTP_STATUS:
                return _message(b"<html><h1>%d</h1></html>" % fault.status, "text/html", status=fault.status)
            case FaultKind.API_ERROR:
                return _message(_error_body(fault.code, "A fault that was asked for.", request_id))
            case FaultKind.CONTENT_TYPE:
                return _message(body, fault.content_type)
            case FaultKind.BODY:
                return _message(fault.body, fault.content_type)
            case FaultKind.GZIP:
                return _message(gzip.compress(body), extra="Content-Encoding: gzip\r\n")
            case FaultKind.NO_REQUEST_ID:
                return _message(self._good_body(replies, None))
        return _message(body)

    # The controls. Arguments and results are JSON values, because they may come over HTTP.

    def enqueue(
        self, app_id: str, records: Iterable[Any] = (), raw: Iterable[str] = (), region: str = DEFAULT_REGION
    ) -> int:
        if app_id not in self._owners or region not in self.settings.regions:
            raise ValueError(f"no application {app_id!r} in region {region!r}: register it first")
        replies = [encode(record) for record in records] + [base64.b64decode(reply) for reply in raw]
        with self._lock:
            self._queues[app_id, region].extend(replies)
            self._history[app_id, region].extend(replies)
            self._enqueued += len(replies)
        return len(replies)

    def plan_faults(self, faults: Iterable[Mapping[str, Any] | None], app_id: str | None = None) -> None:
        planned = [Fault.from_json(fault) for fault in faults]
        with self._lock:
            self._faults.add(planned, app_id)

    def cycle_faults(self, faults: Iterable[Mapping[str, Any] | None]) -> None:
        planned = [Fault.from_json(fault) for fault in faults] or [None]
        with self._lock:
            self._faults.follow(itertools.cycle(planned))

    def mix_faults(self, mix: Iterable[tuple[Mapping[str, Any], float]], seed: int) -> None:
        pairs = [(Fault.from_json(fault), float(probability)) for fault, probability in mix]
        faults, weights = [fault for fault, _ in pairs], [weight for _, weight in pairs]
        if sum(weights) > 1 or any(weight < 0 for weight in weights):
            raise ValueError("the probabilities are 0 or more and at most 1 together")
        generator = random.Random(seed)
        cumulative = [*itertools.accumulate(weights), 1.0]
        draws = (generator.choices([*faults, None], cum_weights=cumulative)[0] for _ in itertools.count())
        with self._lock:
            self._faults.follow(draws)

    def clear_faults(self) -> None:
        with self._lock:
            self._faults.clear()

    def configure(self, **changes: Any) -> dict[str, Any]:
        with self._lock:
            self.settings = dataclasses.replace(self.settings, **changes)
        return vars(self.settings)

    def add_account(self, **fields: Any) -> None:
        account = Account(**fields)
        with self._lock:
            self._accounts[account.secret_id] = account
            self._owners.update(dict.fromkeys(account.app_ids, account.secret_id))

    def set_token(self, secret_id: str, token: str | None, expires: float | None = None) -> None:
        with self._lock:
            account = self._accounts[secret_id]
            self._accounts[secret_id] = dataclasses.replace(account, token=token, token_expires=expires)

    def stats(self) -> dict[str, Any]:
        with self._lock:
            queued = {"/".join(key): len(queue) for key, queue in self._queues.items()}
            return {
                "requests": dict(self._requests),
                "pulls": len(self._log),
                "outcomes": dict(self._outcomes),
                "faults": dict(self._struck),
                "codes": dict(self._codes),
                "enqueued": self._enqueued,
                "handed_out": self._handed_out,
                "lost": self._lost,
                "limited": self._limited,
                "planned_faults": len(self._faults),
                "queued": queued,
            }

    def log(self, start: int = 0, stop: int | None = None) -> list[dict[str, Any]]:
        with self._lock:
            pulls = self._log[start:stop]
        return [pull.to_json() for pull in pulls]


def _matches(reply: bytes, phone_number: str, begin: int, end: int) -> bool:
    try:
        record = json.loads(reply)
        return bool(record["PhoneNumber"] == phone_number and begin <= record["ReplyTime"] <= end)
    except (ValueError, TypeError, KeyError):
        return False


def encode(record: Any) -> bytes:
    """Return a record as the API would send it: bytes as they are, anything else as JSON in UTF-8."""
    if isinstance(record, bytes):
        return record
    try:
        return orjson.dumps(record)
    except (
        TypeError
    ):  # a lone surrogate, or an integer over 64 bits: the standard library has a form for both
        return json.dumps(record, separators=(",", ":")).encode()


def _error_body(code: str, message: str, request_id: str) -> bytes:
    return orjson.dumps({"Response": {"Error": {"Code": code, "Message": message}, "RequestId": request_id}})


def _message(
    body: bytes, content_type: str = "application/json", *, status: int = 200, extra: str = ""
) -> bytes:
    reason = http.client.responses.get(status, "")
    entity = f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    return f"HTTP/1.1 {status} {reason}\r\n{entity}{extra}\r\n".encode("latin-1") + body


def _to_base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


# -------------------------------------------------------------------------------------------------- the wire


class _Connection(socketserver.BaseRequestHandler):
    """One client's connection, with HTTP/1.1 by hand: http.server's parser would cost more than the rest."""

    server: _Server
    request: socket.socket

    def setup(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.server.connections.add(self.request)
        self._buffer = b""

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # a client may go when it likes
            while self._exchange():
                pass

    def finish(self) -> None:
        self.server.connections.discard(self.request)

    def _exchange(self) -> bool:
        head = self._read_head()
        if not head:
            return False
        try:
            request_line, *lines = head.decode("latin-1").split("\r\n")
            method, target, protocol = request_line.split(" ")
            headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
            length = int(headers.get("content-length", "0"))
            if "transfer-encoding" in headers or length < 0:
                raise ValueError("only bodies with a length")
        except ValueError:
            self.request.sendall(_message(b"", "text/plain", status=400, extra="Connection: close\r\n"))
            return False
        is_control = target.startswith(CONTROL_PATH)
        if not is_control and (unread := self.server.service.begin(headers)):
            return self._deliver(unread)
        if headers.get("expect", "").lower() == "100-continue":
            self.request.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        request = _Request(method, target, headers, self._read(length))
        if len(request.body) < length:
            return False
        if is_control:
            self.request.sendall(self._control(request))
        elif not self._deliver(self.server.service.answer(request)):
            return False
        return headers.get("connection", "").lower() != "close" and protocol == "HTTP/1.1"

    def _read_head(self) -> bytes:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            data = self.request.recv(65536)
            if not data or len(self._buffer) > _MAX_HEAD:
                return b""
            self._buffer += data
        head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        return head

    def _read(self, length: int) -> bytes:
        pieces, missing = [self._buffer], length - len(self._buffer)
        while missing > 0 and (data := self.request.recv(min(missing, 1 << 20))):
            pieces.append(data)
            missing -= len(data)
        data = b"".join(pieces)
        self._buffer = data[length:]
        return data[:length]

    def _deliver(self, delivery: _Delivery) -> bool:
        """Send an answer, or fail as its fault demands; true if the connection stays open."""
        message, fault, pull = delivery
        kind = fault.kind if fault else None
        settings = self.server.service.settings
        if kind is FaultKind.RESET_UNREAD:
            return self._reset()
        if kind is FaultKind.CLOSE_UNREAD:
            return self._close_unread()
        wait = settings.latency + (fault.seconds if fault and kind is FaultKind.DELAY else 0)
        if wait and (self.server.stopping.wait(wait) or self._is_abandoned()):
            return False
        if kind is FaultKind.RESET:
            return self._reset()
        if kind is FaultKind.CLOSE or (fault and kind is FaultKind.DELAY and not fault.pops):
            return False
        if fault and kind is FaultKind.TRICKLE:
            message = self._trickle(message, fault.seconds)
        if not settings.keep_alive:
            message = message.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
        if kind is not FaultKind.TRUNCATE:
            self.server.service.settle(pull, sent=True)
        try:
            self.request.sendall(message)
        except OSError:
            self.server.service.settle(pull, sent=False)
            raise
        return settings.keep_alive and kind not in (FaultKind.TRUNCATE, FaultKind.CLOSE_AFTER)

    def _trickle(self, message: bytes, seconds: float) -> bytes:
        """Send all but the last piece, which is returned."""
        size = len(message) // 16
        while len(message) > size:
            self.request.sendall(message[:size])
            message = message[size:]
            self.server.stopping.wait(seconds / 16)
        return message

    def _reset(self) -> bool:
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.request.close()
        return False

    def _close_unread(self) -> bool:
        # A close with bytes unread would be a reset: say that no more comes, then let the rest run dry.
        self.request.shutdown(socket.SHUT_WR)
        self.request.settimeout(1)
        while self.request.recv(65536):
            pass
        return False

    def _is_abandoned(self) -> bool:
        self.request.settimeout(0)
        try:
            return self.request.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        finally:
            self.request.settimeout(None)

    def _control(self, request: _Request) -> bytes:
        url = urllib.parse.urlsplit(request.target)
        command = self.server.service.commands.get(url.path[len(CONTROL_PATH) :])
        if not is_loopback(self.client_address[0]):
            return _message(b'{"error":"the control API is for loopback peers"}', status=403)
        if command is None:
            return _message(b'{"error":"no such command"}', status=404)
        try:
            query = {name: int(value) for name, value in urllib.parse.parse_qsl(url.query)}
            return _message(orjson.dumps(command(**query, **orjson.loads(request.body or b"{}"))))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return _message(orjson.dumps({"error": f"{type(error).__name__}: {error}"}), status=400)


class _Server(socketserver.ThreadingTCPServer):
    """A thread for each connection; the listen backlog takes a burst of clients."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 1024

    def __init__(self, host: str, port: int, service: _Service) -> None:
        self.service = service
        self.connections: set[socket.socket] = set()
        self.stopping = threading.Event()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Connection)

    def stop(self) -> None:
        """Stop listening and drop all connections; whoever waits for an answer gets none."""
        self.stopping.set()
        self.shutdown()
        self.server_close()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):  # it may be closed already
                connection.shutdown(socket.SHUT_RDWR)


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine's own, without asking a name server."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# ---------------------------------------------------------------------------------------------- the controls


class Controls(ABC):
    """What a test does with a simulator, whichever process it runs in."""

    url: str
    """The endpoint, such as ``http://127.0.0.1:40123``; known once the simulator is started."""
    secret_id: str
    secret_key: str
    token: str | None

    @abstractmethod
    def _call(self, command: str, **arguments: Any) -> Any:
        """Run a command of the control API."""

    def enqueue(self, app_id: str, records: Iterable[Any], *, region: str = DEFAULT_REGION) -> int:
        """Append replies to a queue and return their number.

        A record is a mapping with the fields of the specification, or any JSON value, or bytes: JSON as it is
        to be sent, however odd.
        """
        total, iterator = 0, iter(records)
        while batch := [_to_base64(encode(record)) for record in itertools.islice(iterator, 10_000)]:
            total += self._call("enqueue", app_id=app_id, raw=batch, region=region)
        return total

    def fail_next(
        self,
        fault: Fault | str,
        *,
        times: int = 1,
        after: int = 0,
        app_id: str | None = None,
        **options: Any,
    ) -> None:
        """Make the next pulls fail, `times` in a row, once `after` others went well.

        `fault` is a `Fault`, or the name of a `FaultKind` with `options` for its other fields. Faults queue
        up behind those planned before; with `app_id` they wait for the pulls of that application alone.
        """
        planned = [None] * after + [_to_fault(fault, **options).to_json()] * times
        self._call("faults", faults=planned, app_id=app_id)

    def fail_repeatedly(self, faults: Iterable[Fault | str | None]) -> None:
        """Run through `faults` over and over, a pull each; None is a pull that goes well."""
        self._call("faults/cycle", faults=[fault and _to_fault(fault).to_json() for fault in faults])

    def fail_randomly(self, mix: Mapping[Fault | str, float], *, seed: int) -> None:
        """Draw each pull's fault from `mix`, which maps faults to probabilities; the rest goes well."""
        pairs = [(_to_fault(fault).to_json(), probability) for fault, probability in mix.items()]
        self._call("faults/random", mix=pairs, seed=seed)

    def clear_faults(self) -> None:
        """Forget all faults to come."""
        self._call("faults/clear")

    def configure(self, **changes: Any) -> Settings:
        """Change fields of `Settings` and return them all."""
        return Settings(**self._call("settings", **changes))

    def add_account(self, account: Account) -> None:
        """Register an account and its application ids, or replace the one with its secret id."""
        self._call("accounts", **vars(account))

    def set_token(
        self, token: str | None, *, expires: float | None = None, secret_id: str | None = None
    ) -> None:
        """Ask for `token` from now on, until the Unix time `expires`; None asks for no token."""
        self._call("tokens", secret_id=secret_id or self.secret_id, token=token, expires=expires)

    def stats(self) -> Stats:
        """Return the counters."""
        return Stats(**self._call("stats"))

    def log(self, start: int = 0, stop: int | None = None) -> list[Pull]:
        """Return the pulls so far, or the slice of them from `start` to `stop`."""
        return list(self._pulls(start, stop))

    def handed_out(self, start: int = 0) -> Iterator[HandedOut]:
        """Yield each popped reply, a page of pulls at a time; `start` skips that many pulls."""
        for pull in self._pulls(start, None):
            for position, reply in enumerate(pull.replies):
                yield HandedOut(pull.request_id, position, reply, pull.delivered)

    def _pulls(self, start: int, stop: int | None) -> Iterator[Pull]:
        end = min(stop, self.stats().pulls) if stop is not None else self.stats().pulls
        for page in range(start, end, 1000):
            yield from map(Pull.from_json, self._call("log", start=page, stop=min(page + 1000, end)))


def _to_fault(fault: Fault | str, **options: Any) -> Fault:
    return fault if isinstance(fault, Fault) else Fault(FaultKind(fault), **options)


class Simulator(Controls):
    """The simulator in this process: serves in threads between ``with`` and its end.

    `settings` are fields of `Settings`; `clock` returns the server's Unix time. An address other than
    loopback is a ValueError unless `allow_remote` is true.
    """

    def __init__(
        self,
        app_ids: Sequence[str] = (DEFAULT_APP_ID,),
        *,
        secret_id: str = DEFAULT_SECRET_ID,
        secret_key: str = DEFAULT_SECRET_KEY,
        token: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        allow_remote: bool = False,
        clock: Callable[[], float] = time.time,
        **settings: Any,
    ) -> None:
        if not allow_remote and not is_loopback(host):
            raise ValueError(f"{host} is not a loopback address")
        self.secret_id, self.secret_key, self.token = secret_id, secret_key, token
        self._address = (host, port)
        self._service = _Service(Account(secret_id, secret_key, app_ids, token), Settings(**settings), clock)

    def __enter__(self) -> Simulator:
        self._server = _Server(*self._address, self._service)
        host, port = self._server.server_address[:2]
        self.url = f"http://[{host!s}]:{port}" if ":" in str(host) else f"http://{host!s}:{port}"
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def _call(self, command: str, **arguments: Any) -> Any:
        return self._service.commands[command](**arguments)


class SimulatorProcess(Controls):
    """The simulator in a process of its own, between ``with`` and its end; it dies with this process."""

    def __init__(
        self,
        app_ids: Sequence[str] = (DEFAULT_APP_ID,),
        *,
        secret_id: str = DEFAULT_SECRET_ID,
        secret_key: str = DEFAULT_SECRET_KEY,
        token: str | None = None,
        port: int = 0,
        **settings: Any,
    ) -> None:
        self.secret_id, self.secret_key, self.token = secret_id, secret_key, token
        self._app_ids = app_ids
        self._port = port
        self._settings = settings

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def __enter__(self) -> SimulatorProcess:
        # The file, not the package: the package imports dlt, which takes longer than all else here.
        command = [sys.executable, __file__, "--exit-with-parent", f"--port={self._port}"]
        command += [f"--secret-id={self.secret_id}", f"--secret-key={self.secret_key}"]
        command += [f"--app-id={app_id}" for app_id in self._app_ids]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        try:
            if not self.url:
                raise RuntimeError("the simulator did not start")
            self.set_token(self.token)
            self.configure(**self._settings)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()

    def _call(self, command: str, **arguments: Any) -> Any:
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=60)
        try:
            connection.request("POST", CONTROL_PATH + command, orjson.dumps(arguments))
            response = connection.getresponse()
            result = orjson.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise ValueError(result["error"])
        return result


# ------------------------------------------------------------------------------------------ the demo and CLI

_CAMPAIGNS = (  # ExtendCode, SignName, and the weights of opt-outs, scores, confirmations and free text
    ("101", "Harbour Clinic", (5, 0, 80, 15)),
    ("102", "Northwind Parcel", (10, 70, 0, 20)),
    ("201", "湖畔书店", (45, 0, 10, 45)),
    ("202", "青山健身", (25, 35, 25, 15)),
    ("", "Harbour Clinic", (20, 0, 0, 80)),
)
_TEXTS = (
    (
        "T",
        "TD",
        "T",
        "td",
        "退订",
        "STOP",
        "Stop",
        "退订 ",
        "T退订",
        "stop please",
        "Unsubscribe",
        "别再发了,退订",
    ),
    ("5", "4", "5", "3", "2", "1", "5分", "4 - fast, thank you", "1 分，太慢了"),
    ("Y", "N", "y", "好的", "OK", "ok 👍", "Yes", "收到", "可以", "No", "不行，改到周五", "Y!"),
    (
        "请问几点开门？",
        "谢谢 🙏",
        "Can I come an hour later?",
        "包裹还没到 😡",
        "Who is this?",
        "你好，\n我想换个地址",
        "Très bien, merci ☕️",
        'Hello; is the offer "2 for 1" still on, or isn\'t it?',
        "生日快乐🎂🎉",
        "？",
    ),
)


def demo_replies(count: int, *, seed: int, now: int) -> list[dict[str, str | int]]:
    """Return `count` made-up replies of the days before `now` (Unix time), oldest first.

    Opt-outs, survey scores, confirmations and free text; the ExtendCode tells the campaign. The numbers are
    in E.164 and nobody's: Chinese ones begin with an unassigned 12, American and British ones are those
    reserved for fiction. Some people reply more than once, and now and then two replies are equal in every
    field.
    """
    generator = random.Random(seed)
    people = [_demo_number(generator) for _ in range(count * 2 // 3 + 1)]
    records: list[dict[str, str | int]] = []
    for seconds in sorted(
        (int(generator.expovariate(1 / 86400)) % (6 * 86400) for _ in range(count)), reverse=True
    ):
        extend_code, sign_name, weights = generator.choice(_CAMPAIGNS)
        country_code, subscriber_number = generator.choice(people)
        records.append(
            {
                "ExtendCode": extend_code,
                "CountryCode": country_code,
                "PhoneNumber": f"+{country_code}{subscriber_number}",
                "SubscriberNumber": subscriber_number,
                "SignName": sign_name,
                "ReplyContent": generator.choice(generator.choices(_TEXTS, weights)[0]),
                "ReplyTime": now - seconds,
            }
        )
    for twin in range(9, count, 97):
        records[twin] = dict(records[twin - 1])
    return records


def _demo_number(generator: random.Random) -> tuple[str, str]:
    draw = generator.random()
    if draw < 0.9:
        return "86", f"12{generator.randrange(10**9):09}"
    if draw < 0.95:
        return "1", f"20255501{generator.randrange(100):02}"
    return "44", f"7700900{generator.randrange(1000):03}"


def _at_least_zero(number: type[int | float]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        if (value := number(text)) < 0:
            raise argparse.ArgumentTypeError("must be 0 or more")
        return value

    return parse


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sms_source.simulator",
        description="Serve a local Tencent Cloud SMS API (PullSmsReplyStatus) and print its URL.",
    )
    count = _at_least_zero(int)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=count, default=0, help="port to listen on (default 0: any free one)")
    parser.add_argument("--allow-remote", action="store_true", help="allow an address other than loopback")
    parser.add_argument(
        "--url-file", type=Path, metavar="PATH", help="file to write the URL to, once it serves"
    )
    parser.add_argument("--app-id", action="append", metavar="ID", help="SMS application id; can be repeated")
    parser.add_argument(
        "--demo-replies", type=count, default=0, metavar="N", help="made-up replies to hand out"
    )
    parser.add_argument("--seed", type=int, default=1, help="what the made-up replies depend on (default 1)")
    parser.add_argument(
        "--rate-limit", type=count, default=100, metavar="N", help="pulls a second; 0 is no limit"
    )
    parser.add_argument(
        "--latency", type=_at_least_zero(float), default=0.0, metavar="SECONDS", help="of an answer"
    )
    parser.add_argument("--secret-id", default=DEFAULT_SECRET_ID, help="default %(default)s")
    parser.add_argument("--secret-key", default=DEFAULT_SECRET_KEY, help="default %(default)s")
    parser.add_argument("--exit-with-parent", action="store_true", help="exit when standard input ends")
    return parser


def _exit_at_end_of_input() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM, and return the exit status; wrong arguments exit with 2."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not options.allow_remote and not is_loopback(options.host):
        parser.error(f"--host {options.host} is not a loopback address; --allow-remote allows it")
    if options.port > 65535:
        parser.error("--port is 0 to 65535")
    app_ids = options.app_id or [DEFAULT_APP_ID]
    simulator = Simulator(
        app_ids,
        secret_id=options.secret_id,
        secret_key=options.secret_key,
        host=options.host,
        port=options.port,
        allow_remote=options.allow_remote,
        rate_limit=options.rate_limit,
        latency=options.latency,
    )
    replies = demo_replies(options.demo_replies, seed=options.seed, now=int(time.time()))
    for index, app_id in enumerate(app_ids):
        simulator.enqueue(app_id, replies[index :: len(app_ids)])
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if options.exit_with_parent:
        threading.Thread(target=_exit_at_end_of_input, daemon=True).start()
    with simulator:
        if options.url_file:
            partial = options.url_file.with_name(f"{options.url_file.name}.{os.getpid()}")
            partial.write_text(simulator.url + "\n")
            partial.replace(options.url_file)
        print(simulator.url, flush=True)
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
