"""A local Tencent Cloud SMS API over real HTTP, for the demo, for tests and for load tests.

It answers ``PullSmsReplyStatus`` (a destructive queue per application id and region) and
``PullSmsReplyStatusByPhoneNumber`` (a search that consumes nothing), version 2021-01-11, and is as strict as
their documentation: signatures, headers, parameters, rate limits. It can fail on purpose in every way that a
network and an API can (`FaultKind`), and logs what it handed out (`Pull`), to be held against what arrived::

    with Simulator(["1400006666"]) as simulator:  # or SimulatorProcess([...])
        simulator.enqueue("1400006666", demo_replies(250, seed=1, now=int(time.time())))
        simulator.fail_next("reset", after=1)
        ...  # pull from simulator.url with simulator.secret_id and simulator.secret_key
        assert simulator.stats().handed_out == 250

From a shell, ``python -m sms_source.simulator --demo-replies 500`` prints its URL and serves until stopped.

Those methods are requests to the same port, which anything on this machine can make: ``POST`` to
``/_simulator/<command>``, a method of `_Service`, with a JSON object of its arguments. The answer is JSON, or
400 and ``{"error": …}``; bytes travel as Latin-1 text.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import enum
import gzip
import hashlib
import hmac
import http.client
import http.server
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
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from tencentcloud.common.sign import Sign

VERSION = "2021-01-11"
PULL = "PullSmsReplyStatus"
SEARCH = "PullSmsReplyStatusByPhoneNumber"
REGIONS = ("ap-guangzhou", "ap-beijing", "ap-nanjing", "ap-singapore")
DEFAULT_REGION = REGIONS[0]
DEFAULT_APP_ID = "1400006666"
DEFAULT_SECRET_ID = "AKIDSimulatorEXAMPLE"
DEFAULT_SECRET_KEY = "SimulatorKeyEXAMPLE"
CONTROL_PATH = "/_simulator/"

_Headers = Mapping[str, str]

_MAX_CLOCK_SKEW = 300
_MAX_SEARCH_AGE = 7 * 86400
_UNIX_TIMES = range(4102444800)
_PULL_PARAMETERS: dict[str, Any] = {"Limit": range(1, 101), "SmsSdkAppId": str}
_WINDOW = {"BeginTime": _UNIX_TIMES, "EndTime": _UNIX_TIMES, "Offset": range(1), "PhoneNumber": str}
_PARAMETERS = {PULL: _PULL_PARAMETERS, SEARCH: _PULL_PARAMETERS | _WINDOW}
_OPTIONAL = frozenset({"EndTime"})
_E164 = re.compile(r"\+[1-9][0-9]{4,14}")
_AUTHORIZATION = re.compile(
    r"TC3-HMAC-SHA256 +Credential=(?P<secret_id>[^/,\s]+)/(?P<scope>[^/,\s]+/[^/,\s]+/tc3_request), *"
    r"SignedHeaders=(?P<signed>[a-z0-9-]+(?:;[a-z0-9-]+)*), *Signature=(?P<signature>[0-9a-f]{64})"
)


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


_UNREAD = {FaultKind.RESET_UNREAD, FaultKind.CLOSE_UNREAD}
_INTACT = {FaultKind.TRICKLE, FaultKind.CONTENT_TYPE, FaultKind.GZIP, FaultKind.CLOSE_AFTER}
_INTACT |= {FaultKind.NO_REQUEST_ID, FaultKind.DUPLICATE_REQUEST_ID}


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
        if (self.kind in _UNREAD and self.popped) or (self.kind in _INTACT and self.popped is False):
            raise ValueError(f"a {self.kind.value} fault cannot have popped={self.popped}")

    @property
    def pops(self) -> bool:
        """Whether the replies leave the queue."""
        if self.popped is None:
            return self.kind not in _UNREAD and self.kind is not FaultKind.API_ERROR
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


def _to_json(value: Any) -> bytes:
    """The control API's JSON of anything made of the classes above."""
    return orjson.dumps(value, default=lambda raw: raw.decode("latin-1"))


def _to_fault(fault: str | Mapping[str, Any], **options: Any) -> Fault:
    fields = {"kind": fault, **options} if isinstance(fault, str) else dict(fault)
    body = fields.pop("body", "").encode("latin-1")
    return Fault(FaultKind(fields.pop("kind")), body=body, **fields)


def _to_pull(pull: Mapping[str, Any]) -> Pull:
    fault = FaultKind(pull["fault"]) if pull["fault"] else None
    replies = tuple([reply.encode("latin-1") for reply in pull["replies"]])
    return Pull(**{**pull, "fault": fault, "outcome": Outcome(pull["outcome"]), "replies": replies})


class ApiError(Exception):
    """An error as the API answers it: its code and its message."""


# A whole HTTP message, the fault in its way, and the number of the pull it answers (0 for another action).
_Delivery = tuple[bytes, Fault | None, int]


def _check(holds: object, code: str, message: str) -> None:
    if not holds:
        raise ApiError(code, message)


def authenticate(headers: _Headers, body: bytes, accounts: Mapping[str, Account], now: float) -> Account:
    """Return the account whose TC3-HMAC-SHA256 signature a POST of / bears, or raise the `ApiError` due."""
    for name in ("Host", "Content-Type", "X-TC-Action", "X-TC-Version", "X-TC-Timestamp"):
        _check(headers.get(name.lower()), "MissingParameter", f"The request is missing the header {name}.")
    match = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    signed = match["signed"].split(";") if match else []
    if match is None or signed != sorted(set(signed)) or not {"content-type", "host"} <= set(signed):
        message = "Authorization is malformed, or SignedHeaders are unsorted or lack content-type or host."
        raise ApiError("AuthFailure.InvalidAuthorization", message)
    timestamp = headers["x-tc-timestamp"]
    _check(re.fullmatch("[0-9]{1,11}", timestamp), "InvalidParameterValue", "X-TC-Timestamp is no Unix time.")
    is_now = abs(now - int(timestamp)) <= _MAX_CLOCK_SKEW
    _check(is_now, "AuthFailure.SignatureExpire", "X-TC-Timestamp is over 5 minutes off the server's time.")
    account = accounts.get(match["secret_id"])
    if account is None:
        raise ApiError("AuthFailure.SecretIdNotFound", "The SecretId does not exist.")
    date = time.strftime("%Y-%m-%d", time.gmtime(int(timestamp)))
    scope = f"{date}/sms/tc3_request"
    canonical_headers = "".join(f"{name}:{headers.get(name, '').lower()}\n" for name in signed)
    canonical = f"POST\n/\n\n{canonical_headers}\n{match['signed']}\n{hashlib.sha256(body).hexdigest()}"
    digest = hashlib.sha256(canonical.encode("latin-1")).hexdigest()
    to_sign = f"TC3-HMAC-SHA256\n{timestamp}\n{scope}\n{digest}"
    signature = Sign.sign_tc3(account.secret_key, date, "sms", to_sign)
    is_whole = match["scope"] == scope and all(name in headers for name in signed)
    is_right = is_whole and hmac.compare_digest(signature, match["signature"])
    _check(is_right, "AuthFailure.SignatureFailure", "The signature does not fit the request.")
    is_valid = account.token_expires is None or now < account.token_expires
    is_valid = is_valid and headers.get("x-tc-token") == account.token
    _check(is_valid, "AuthFailure.TokenFailure", "The token is wrong or has expired.")
    return account


def _parameters(action: str, body: bytes) -> Any:
    try:
        values = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ApiError("FailedOperation.JsonParseFail", "The request body is not JSON.") from None
    _check(isinstance(values, dict), "InvalidParameter", "The request body is not a JSON object.")
    domains = _PARAMETERS[action]
    for name in values:
        _check(name in domains, "UnknownParameter", f"The parameter {name!r} is not recognized.")
    for name, domain in domains.items():
        if name in values:
            is_typed = type(values[name]) is (str if domain is str else int)
            _check(is_typed, "InvalidParameter", f"The type of the parameter {name} is wrong.")
            fits = domain is str or values[name] in domain
            _check(fits, "InvalidParameterValue", f"The value of the parameter {name} is not allowed.")
        else:
            _check(name in _OPTIONAL, "MissingParameter", f"The request is missing the parameter {name}.")
    return values


class _Service:
    """The API itself: accounts, queues, checks, faults and the log. Knows HTTP messages, but no sockets.

    Whoever calls it holds `lock`, so requests are decided one after the other.
    """

    COMMANDS = frozenset(
        {"enqueue", "fail_next", "fail_repeatedly", "fail_randomly", "clear_faults"}
        | {"configure", "add_account", "stats", "log"}
    )

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self.settings = settings
        self._clock = clock
        self.lock = threading.Lock()
        self._accounts: dict[str, Account] = {}
        self._owners: dict[str, str] = {}
        self._queues: dict[tuple[str, str], deque[bytes]] = defaultdict(deque)
        self._history: dict[tuple[str, str], list[bytes]] = defaultdict(list)
        self._windows: dict[tuple[str, str], deque[float]] = defaultdict(deque)
        self._log: list[Pull] = []
        self._counts: dict[str, Counter[str]] = defaultdict(Counter)
        self._enqueued = self._handed_out = self._lost = self._limited = 0
        self.clear_faults()

    def begin(self, headers: _Headers) -> _Delivery | None:
        """Note a request whose head has arrived; a delivery if it is to fail before its body is read."""
        action, region = headers.get("x-tc-action", ""), headers.get("x-tc-region", "")
        self._counts["requests"][action] += 1
        faults = self._next_faults()
        fault = faults[0]
        if action != PULL or fault is None or fault.kind not in _UNREAD:
            return None
        faults.popleft()
        return b"", fault, self._record(Outcome.FAULTED, region, fault=fault.kind)

    def answer(self, line: str, headers: _Headers, body: bytes) -> _Delivery:
        """Answer a request of the API, which `line` begins."""
        action, region = headers.get("x-tc-action", ""), headers.get("x-tc-region", "")
        request_id = str(uuid.uuid4())
        try:
            account = self._admit(line, headers, body)
            parameters = _parameters(action, body)
            owner = self._owners.get(parameters["SmsSdkAppId"])
            _check(owner, "InvalidParameterValue.SdkAppIdNotExist", "The SdkAppId does not exist.")
            failure = "UnauthorizedOperation.SmsSdkAppIdVerifyFail"
            _check(owner == account.secret_id, failure, "The SdkAppId is another account's.")
            if action == PULL:
                return self._pull(parameters["SmsSdkAppId"], region, parameters["Limit"], request_id)
            return _message(self._good_body(self._search(region, parameters), request_id)), None, 0
        except ApiError as error:
            code, message = error.args
            self._counts["codes"][code] += 1
            self._limited += code == "RequestLimitExceeded"
            pull = self._record(Outcome.REFUSED, region, request_id, code=code) if action == PULL else 0
            return _message(_error_body(code, message, request_id)), None, pull

    def settle(self, pull: int, *, sent: bool) -> None:
        """Set whether the answer to pull number `pull` (0 for none) was sent."""
        if pull:
            before = self._log[pull - 1]
            after = self._log[pull - 1] = dataclasses.replace(before, sent=sent)
            self._lost += len(before.replies) * (before.delivered - after.delivered)

    def _admit(self, line: str, headers: _Headers, body: bytes) -> Account:
        _check(line.startswith("POST / "), "UnsupportedProtocol", "The request is not a POST of /.")
        account = authenticate(headers, body, self._accounts, self._now())
        action, region = headers["x-tc-action"], headers.get("x-tc-region")
        is_json = headers["content-type"].partition(";")[0].strip().lower() == "application/json"
        _check(is_json, "UnsupportedProtocol", "The content type is not application/json.")
        _check(action in _PARAMETERS, "InvalidAction", "The action does not exist.")
        _check(headers["x-tc-version"] == VERSION, "NoSuchVersion", "The version does not exist.")
        _check(region, "MissingParameter", "The request is missing the header X-TC-Region.")
        _check(region in REGIONS, "UnsupportedRegion", "The region is not supported.")
        limit = self.settings.rate_limit if action == PULL else self.settings.search_rate_limit
        now, window = self._clock(), self._windows[account.secret_id, action]
        while window and window[0] <= now - 1:
            window.popleft()
        has_room = not limit or len(window) < limit
        _check(has_room, "RequestLimitExceeded", f"There are more than {limit} requests a second.")
        window.append(now)
        return account

    def _pull(self, app_id: str, region: str, limit: int, request_id: str) -> _Delivery:
        details: dict[str, Any] = {"app_id": app_id, "limit": limit}
        fault = (self._planned[app_id] or self._next_faults()).popleft()
        replies: tuple[bytes, ...] = ()
        if fault is None or fault.pops:
            queue = self._queues[app_id, region]
            count = min(limit, self.settings.page_size, len(queue))
            replies = tuple([queue.popleft() for _ in range(count)])
        outcome = Outcome.ANSWERED if replies else Outcome.EMPTY
        if fault:
            details["fault"] = fault.kind
            if not (fault.kind in _INTACT or (fault.kind is FaultKind.DELAY and fault.pops)):
                outcome = Outcome.FAULTED
            if fault.kind is FaultKind.API_ERROR:
                details["code"] = fault.code
                self._counts["codes"][fault.code] += 1
            if fault.kind is FaultKind.DUPLICATE_REQUEST_ID and self._log:
                request_id = self._log[-1].request_id
        pull = self._record(outcome, region, request_id, replies=replies, **details)
        return self._pull_message(fault, replies, request_id), fault, pull

    def _record(self, outcome: Outcome, region: str, request_id: str = "", **details: Any) -> int:
        # Logged before the client can know of it, so that whoever saw an answer finds it in the log.
        pull = Pull(len(self._log) + 1, self._now(), region, request_id, outcome, **details)
        self._log.append(pull)
        self._counts["outcomes"][outcome.value] += 1
        if pull.fault:
            self._counts["faults"][pull.fault.value] += 1
        self._handed_out += len(pull.replies)
        self._lost += len(pull.replies)
        return pull.number

    def _now(self) -> float:
        return self._clock() + self.settings.clock_skew

    def _search(self, region: str, parameters: Mapping[str, Any]) -> list[bytes]:
        phone_number, begin, now = parameters["PhoneNumber"], parameters["BeginTime"], int(self._now())
        end = parameters.get("EndTime", now)
        is_number = _E164.fullmatch(phone_number)
        _check(is_number, "InvalidParameterValue.IncorrectPhoneNumber", "The phone number is not in E.164.")
        is_window = now - _MAX_SEARCH_AGE <= begin <= end
        _check(is_window, "InvalidParameterValue", "BeginTime is over 7 days back, or after EndTime.")
        history = self._history[parameters["SmsSdkAppId"], region]
        found = (reply for reply in history if _matches(reply, phone_number, begin, end))
        return list(itertools.islice(found, parameters["Limit"]))

    def _good_body(self, replies: Sequence[bytes], request_id: str | None) -> bytes:
        response: dict[str, Any] = {}
        if replies or self.settings.empty_set != "absent":
            is_list = replies or self.settings.empty_set == "list"
            response["PullSmsReplyStatusSet"] = [*map(orjson.Fragment, replies)] if is_list else None
        if request_id is not None:
            response["RequestId"] = request_id
        return orjson.dumps({"Response": response})

    def _pull_message(self, fault: Fault | None, replies: Sequence[bytes], request_id: str) -> bytes:
        body = self._good_body(replies, request_id)
        if fault is None:
            return _message(body)
        bodies = {
            FaultKind.NOT_JSON: b"<html><body>upstream request timeout</body></html>",
            FaultKind.NO_RESPONSE: orjson.dumps({"RequestId": request_id}),
            FaultKind.HTTP_STATUS: b"<html><h1>%d</h1></html>" % fault.status,
            FaultKind.API_ERROR: _error_body(fault.code, "A fault that was asked for.", request_id),
            FaultKind.BODY: fault.body,
            FaultKind.GZIP: gzip.compress(body),
            FaultKind.NO_REQUEST_ID: self._good_body(replies, None),
        }
        types = dict.fromkeys((FaultKind.CONTENT_TYPE, FaultKind.BODY), fault.content_type)
        types[FaultKind.HTTP_STATUS] = "text/html"
        status = fault.status if fault.kind is FaultKind.HTTP_STATUS else 200
        extra = "Content-Encoding: gzip\r\n" if fault.kind is FaultKind.GZIP else ""
        body = bodies.get(fault.kind, body)
        message = _message(body, types.get(fault.kind, "application/json"), status=status, extra=extra)
        return message[: -(len(body) // 2)] if fault.kind is FaultKind.TRUNCATE else message

    # What follows is the control API.

    def enqueue(
        self, app_id: str, records: Iterable[Any] = (), raw: Iterable[str] = (), region: str = DEFAULT_REGION
    ) -> int:
        if app_id not in self._owners or region not in REGIONS:
            raise ValueError(f"no application {app_id!r} in region {region!r}: register it first")
        replies = [encode(record) for record in records] + [reply.encode("latin-1") for reply in raw]
        self._queues[app_id, region].extend(replies)
        self._history[app_id, region].extend(replies)
        self._enqueued += len(replies)
        return len(replies)

    def fail_next(
        self, fault: Any, times: int = 1, after: int = 0, app_id: str | None = None, **options: Any
    ) -> None:
        planned = [None] * after + [_to_fault(fault, **options)] * times
        self._planned[app_id].extend(planned)

    def fail_repeatedly(self, faults: Iterable[Any]) -> None:
        self._follow(itertools.cycle([_to_fault(fault) if fault else None for fault in faults] or [None]))

    def fail_randomly(self, mix: Sequence[tuple[Any, float]], seed: int) -> None:
        weights = [probability for _, probability in mix]
        if sum(weights) > 1 or any(weight < 0 for weight in weights):
            raise ValueError("the probabilities are 0 or more and at most 1 together")
        faults, bounds = (
            [*(_to_fault(fault) for fault, _ in mix), None],
            [*itertools.accumulate(weights), 1.0],
        )
        generator = random.Random(seed)
        self._follow(generator.choices(faults, cum_weights=bounds)[0] for _ in itertools.count())

    def clear_faults(self) -> None:
        self._planned: dict[str | None, deque[Fault | None]] = defaultdict(deque)
        self._follow(itertools.repeat(None))

    def _follow(self, stream: Iterator[Fault | None]) -> None:
        self._stream, self._drawn = stream, deque[Fault | None]()

    def _next_faults(self) -> deque[Fault | None]:
        """Faults of any application, the next one first: those planned, else one drawn from the stream."""
        if self._planned[None]:
            return self._planned[None]
        if not self._drawn:
            self._drawn.append(next(self._stream))
        return self._drawn

    def configure(self, **changes: Any) -> Settings:
        self.settings = dataclasses.replace(self.settings, **changes)
        return self.settings

    def add_account(self, **fields: Any) -> None:
        account = Account(**fields)
        self._accounts[account.secret_id] = account
        self._owners.update(dict.fromkeys(account.app_ids, account.secret_id))

    def stats(self) -> Stats:
        return Stats(
            pulls=len(self._log),
            enqueued=self._enqueued,
            handed_out=self._handed_out,
            lost=self._lost,
            limited=self._limited,
            planned_faults=sum(fault is not None for plan in self._planned.values() for fault in plan),
            queued={"/".join(key): len(queue) for key, queue in self._queues.items()},
            **{name: dict(self._counts[name]) for name in ("requests", "outcomes", "faults", "codes")},
        )

    def log(self, start: int = 0, stop: int | None = None) -> list[Pull]:
        return self._log[start:stop]


def _matches(reply: bytes, phone_number: str, begin: int, end: int) -> bool:
    if phone_number.encode() not in reply:  # most are not, and this is faster than to decode them
        return False
    with contextlib.suppress(ValueError, TypeError, KeyError):
        record = json.loads(reply)
        return bool(record["PhoneNumber"] == phone_number and begin <= record["ReplyTime"] <= end)
    return False


def encode(record: Any) -> bytes:
    """Return a record as the API would send it: bytes as they are, anything else as JSON in UTF-8."""
    if isinstance(record, bytes):
        return record
    try:
        return orjson.dumps(record)
    except TypeError:  # a lone surrogate, an integer over 64 bits: the standard library writes both
        return json.dumps(record, separators=(",", ":")).encode()


def _error_body(code: str, message: str, request_id: str) -> bytes:
    return orjson.dumps({"Response": {"Error": {"Code": code, "Message": message}, "RequestId": request_id}})


def _message(
    body: bytes, content_type: str = "application/json", *, status: int = 200, extra: str = ""
) -> bytes:
    reason = http.client.responses.get(status, "")
    entity = f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    return f"HTTP/1.1 {status} {reason}\r\n{entity}{extra}\r\n".encode("latin-1") + body


class _Connection(http.server.BaseHTTPRequestHandler):
    """One client's connection."""

    server: _Server
    connection: socket.socket
    protocol_version = default_request_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # a client may go when it likes
            super().handle()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def do_POST(self) -> None:
        headers = {name.lower(): value.strip() for name, value in self.headers.items()}
        length = int(headers.get("content-length", "0"))
        if self.path.startswith(CONTROL_PATH):
            self.wfile.write(self._control(self.path.removeprefix(CONTROL_PATH), self.rfile.read(length)))
            return
        service = self.server.service
        with service.lock:
            delivery = service.begin(headers)
        if delivery is None and len(body := self.rfile.read(length)) == length:
            with service.lock:
                delivery = service.answer(self.requestline, headers, body)
        if delivery is None or self.server.stopping.is_set() or not self._deliver(*delivery):
            self.close_connection = True

    do_GET = do_PUT = do_POST  # noqa: N815 - http.server names them

    def _control(self, command: str, body: bytes) -> bytes:
        peer, own = self.client_address[0], self.connection.getsockname()[0]
        if peer != own and not is_loopback(peer):
            return _message(b'{"error":"the control API is for this machine alone"}', status=403)
        if command not in _Service.COMMANDS:
            return _message(b'{"error":"no such command"}', status=404)
        try:
            arguments = orjson.loads(body or b"{}")
            with self.server.service.lock:
                result = getattr(self.server.service, command)(**arguments)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return _message(_to_json({"error": f"{type(error).__name__}: {error}"}), status=400)
        return _message(_to_json(result))

    def _deliver(self, message: bytes, fault: Fault | None, pull: int) -> bool:
        """Send an answer, or fail as its fault demands; true if the connection stays open."""
        kind = fault.kind if fault else None
        settings, stopping = self.server.service.settings, self.server.stopping
        if kind is FaultKind.CLOSE_UNREAD:
            # A close with bytes unread would be a reset: say that no more comes, then let the rest run dry.
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(1)
            while self.connection.recv(65536):
                pass
            return False
        wait = settings.latency + (fault.seconds if fault and kind is FaultKind.DELAY else 0)
        if kind is not FaultKind.RESET_UNREAD and wait and (stopping.wait(wait) or self._is_abandoned()):
            return False
        if kind in (FaultKind.RESET, FaultKind.RESET_UNREAD):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            return False
        if kind is FaultKind.CLOSE or (fault and kind is FaultKind.DELAY and not fault.pops):
            return False
        if not settings.keep_alive:
            message = message.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
        if fault and kind is FaultKind.TRICKLE:
            size = len(message) // 16
            while len(message) > size:
                self.wfile.write(message[:size])
                message = message[size:]
                stopping.wait(fault.seconds / 16)
        self._settle(pull, sent=kind is not FaultKind.TRUNCATE)
        try:
            self.wfile.write(message)
        except OSError:
            self._settle(pull, sent=False)
            raise
        if kind is FaultKind.CLOSE_AFTER:
            self.connection.shutdown(socket.SHUT_WR)  # at once, not after the client's next request
        return settings.keep_alive and kind not in (FaultKind.TRUNCATE, FaultKind.CLOSE_AFTER)

    def _settle(self, pull: int, *, sent: bool) -> None:
        with self.server.service.lock:
            self.server.service.settle(pull, sent=sent)

    def _is_abandoned(self) -> bool:
        try:
            return self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False


class _Server(socketserver.ThreadingTCPServer):
    """A thread for each connection; the listen backlog takes a burst of clients."""

    daemon_threads = allow_reuse_address = True
    request_queue_size = 1024

    def __init__(self, host: str, port: int, service: _Service) -> None:
        self.service = service
        self.stopping = threading.Event()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Connection)


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine's own, without asking a name server."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Simulator:
    """The simulator in this process: serves in threads between ``with`` and its end.

    `settings` are fields of `Settings`; `clock` returns the server's Unix time. An address other than
    loopback is a ValueError unless `allow_remote` is true. `url` is known once the simulator is started.
    """

    url: str

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
            raise ValueError(f"{host} is not a loopback address, and others are not allowed")
        if port not in range(65536):
            raise ValueError("a port is 0 to 65535")
        self.secret_id, self.secret_key, self.token = secret_id, secret_key, token
        self._account = Account(secret_id, secret_key, app_ids, token)
        self._settings, self._clock = Settings(**settings), clock
        self._host, self._port = host, port

    def __enter__(self) -> Simulator:
        self._server = _Server(self._host, self._port, _Service(self._settings, self._clock))
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.url = f"http://{host}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True).start()
        self.add_account(self._account)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stopping.set()  # whoever waits for an answer gets none
        self._server.shutdown()
        self._server.server_close()

    def enqueue(self, app_id: str, records: Iterable[Any], *, region: str = DEFAULT_REGION) -> int:
        """Append replies, which are JSON values or bytes to be sent as they are, and return their number."""
        total, encoded = 0, map(encode, records)
        while batch := list(itertools.islice(encoded, 10_000)):
            total += self._call("enqueue", app_id=app_id, raw=batch, region=region)
        return total

    def fail_next(
        self, fault: Fault | str, *, times: int = 1, after: int = 0, app_id: str | None = None, **options: Any
    ) -> None:
        """Make pulls fail, `times` in a row, once `after` others went well and earlier plans are over.

        `fault` is a `Fault`, or the name of a `FaultKind` with `options` for its other fields. With `app_id`,
        it waits for the pulls of that application alone.
        """
        self._call("fail_next", fault=fault, times=times, after=after, app_id=app_id, **options)

    def fail_repeatedly(self, faults: Iterable[Fault | str | None]) -> None:
        """Run through `faults` over and over, a pull each; None is a pull that goes well."""
        self._call("fail_repeatedly", faults=list(faults))

    def fail_randomly(self, mix: Mapping[Fault | str, float], *, seed: int) -> None:
        """Draw each pull's fault from `mix`, which maps faults to probabilities; the rest goes well."""
        self._call("fail_randomly", mix=list(mix.items()), seed=seed)

    def clear_faults(self) -> None:
        """Forget all faults to come."""
        self._call("clear_faults")

    def configure(self, **changes: Any) -> Settings:
        """Change fields of `Settings` and return them all."""
        return Settings(**self._call("configure", **changes))

    def add_account(self, account: Account) -> None:
        """Register an account and its application ids, or replace the one with its secret id."""
        self._call("add_account", **vars(account))

    def set_token(self, token: str | None, *, expires: float | None = None) -> None:
        """Ask for `token` from now on, until the Unix time `expires`; None asks for no token."""
        self.add_account(dataclasses.replace(self._account, token=token, token_expires=expires))

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
        pulls = self.stats().pulls
        end = pulls if stop is None else min(stop, pulls)
        for page in range(start, end, 1000):
            yield from map(_to_pull, self._call("log", start=page, stop=min(page + 1000, end)))

    def _call(self, command: str, **arguments: Any) -> Any:
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=60)
        with contextlib.closing(connection):
            connection.request("POST", CONTROL_PATH + command, _to_json(arguments))
            response = connection.getresponse()
            result = orjson.loads(response.read())
        if response.status != 200:
            raise ValueError(result["error"])
        return result


class SimulatorProcess(Simulator):
    """The simulator in a process of its own, between ``with`` and its end; it dies with this process."""

    pid: int

    def __enter__(self) -> SimulatorProcess:
        # The file, not the package: the package imports dlt, which takes longer than all else here.
        command = [sys.executable, __file__, "--exit-with-parent"]
        command += [f"--host={self._host}", f"--port={self._port}"]
        command += [f"--secret-id={self.secret_id}", f"--secret-key={self.secret_key}"]
        command += [f"--app-id={app_id}" for app_id in self._account.app_ids]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid
        self.url = self._process.stdout.readline().strip() if self._process.stdout else ""
        if not self.url:
            self.__exit__()
            raise RuntimeError("the simulator did not start")
        self.add_account(self._account)
        self.configure(**vars(self._settings))
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()


_CAMPAIGNS = (  # ExtendCode, SignName, and the weights of opt-outs, scores, confirmations and free text
    ("101", "Harbour Clinic", (5, 0, 80, 15)),
    ("102", "Northwind Parcel", (10, 70, 0, 20)),
    ("201", "湖畔书店", (45, 0, 10, 45)),
    ("202", "青山健身", (25, 35, 25, 15)),
    ("", "Harbour Clinic", (20, 0, 0, 80)),
)
_TEXTS = (
    ("T", "TD", "T", "td", "退订", "STOP", "Stop", "退订 ", "T退订", "stop please", "别再发了,退订"),
    ("5", "4", "5", "3", "2", "1", "5分", "4 - fast, thank you", "1 分，太慢了"),
    ("Y", "N", "y", "好的", "OK", "ok 👍", "Yes", "收到", "可以", "No", "不行，改到周五", "Y!"),
    ("请问几点开门？", "谢谢 🙏", "Très bien, merci ☕️", 'Is "2 for 1" still on?', "你好，\n换个地址", "？"),
)
_NUMBERS = (("86", "12", 9), ("1", "20255501", 2), ("44", "7700900", 3))  # country, prefix, further digits


def demo_replies(count: int, *, seed: int, now: int) -> list[dict[str, str | int]]:
    """Return `count` made-up replies of the days before `now` (Unix time), oldest first.

    Opt-outs, survey scores, confirmations and free text; the ExtendCode tells the campaign. The numbers are
    in E.164 and nobody's: Chinese ones begin with an unassigned 12, American and British ones are those
    reserved for fiction. Some people reply more than once, and now and then two replies are equal in every
    field.
    """
    generator = random.Random(seed)
    numbers = generator.choices(_NUMBERS, (90, 5, 5), k=count * 2 // 3 + 1)
    people = [(country, f"{prefix}{generator.randrange(10**n):0{n}}") for country, prefix, n in numbers]
    ages = (int(generator.expovariate(1 / 86400)) % (6 * 86400) for _ in range(count))
    records: list[dict[str, str | int]] = []
    for seconds in sorted(ages, reverse=True):
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM, and return the exit status; wrong arguments exit with 2."""
    parser = argparse.ArgumentParser(
        prog="python -m sms_source.simulator",
        description="Serve a local Tencent Cloud SMS API (PullSmsReplyStatus) and print its URL.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=int, default=0, help="port to listen on; 0 is any free one")
    add("--allow-remote", action="store_true", help="allow an address other than loopback")
    add("--url-file", type=Path, metavar="PATH", help="file to write the URL to, once it serves")
    add("--app-id", action="append", metavar="ID", help="SMS application id; can be repeated")
    add("--demo-replies", type=int, default=0, metavar="N", help="made-up replies to hand out")
    add("--seed", type=int, default=1, help="what the made-up replies depend on")
    add("--rate-limit", type=int, default=100, metavar="N", help="pulls a second; 0 is no limit")
    add("--latency", type=float, default=0.0, metavar="SECONDS", help="of an answer")
    add("--secret-id", default=DEFAULT_SECRET_ID, help="of the account")
    add("--secret-key", default=DEFAULT_SECRET_KEY, help="of the account")
    add("--exit-with-parent", action="store_true", help="exit when standard input ends")
    options = parser.parse_args(arguments)
    app_ids = options.app_id or [DEFAULT_APP_ID]
    names = ("secret_id", "secret_key", "host", "port", "allow_remote", "rate_limit", "latency")
    try:
        simulator = Simulator(app_ids, **{name: getattr(options, name) for name in names})
    except ValueError as error:
        parser.error(str(error))
    stop = threading.Event()

    def stop_at_end_of_input() -> None:
        sys.stdin.read()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if options.exit_with_parent:
        threading.Thread(target=stop_at_end_of_input, daemon=True).start()
    replies = demo_replies(options.demo_replies, seed=options.seed, now=int(time.time()))
    with simulator:
        for index, app_id in enumerate(app_ids):
            simulator.enqueue(app_id, replies[index :: len(app_ids)])
        if options.url_file:
            partial = options.url_file.with_name(f"{options.url_file.name}.{os.getpid()}")
            partial.write_text(simulator.url + "\n")
            partial.replace(options.url_file)
        print(simulator.url, flush=True)
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
