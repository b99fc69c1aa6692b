"""The API itself: queues, rates, faults, the log; and the commands that control it."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import http.client
import itertools
import json
import re
import threading
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson

from .admission import PARAMETERS, PULL, ApiError, Headers, authenticate, check, parameters_of
from .fault_plan import FaultPlan
from .records import INTACT, UNREAD, Account, Fault, FaultKind, Outcome, Pull, Settings, Stats

VERSION = "2021-01-11"
REGIONS = ("ap-guangzhou", "ap-beijing", "ap-nanjing", "ap-singapore")
DEFAULT_REGION = REGIONS[0]

_MAX_SEARCH_AGE = 7 * 86400
_E164 = re.compile(r"\+[1-9][0-9]{4,14}")

# A whole HTTP message, the fault in its way, and the number of the pull it answers (0 for another action).
Delivery = tuple[bytes, Fault | None, int]


class Service:
    """The API itself: accounts, queues, checks, faults and the log. Knows HTTP messages, but no sockets.

    Whoever calls it holds `lock`, so requests are decided one after the other.
    """

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
        self._plan = plan = FaultPlan()
        self.commands: Mapping[str, Callable[..., Any]] = {
            "enqueue": self.enqueue,
            "fail_next": plan.fail_next,
            "fail_repeatedly": plan.fail_repeatedly,
            "fail_randomly": plan.fail_randomly,
            "clear_faults": plan.clear_faults,
            "configure": self.configure,
            "add_account": self.add_account,
            "stats": self.stats,
            "log": self.log,
        }

    def begin(self, headers: Headers) -> Delivery | None:
        """Note a request whose head has arrived; a delivery if it is to fail before its body is read."""
        action, region = headers.get("x-tc-action", ""), headers.get("x-tc-region", "")
        self._counts["requests"][action] += 1
        fault = self._plan.next() if action == PULL else None
        if fault is None or fault.kind not in UNREAD:
            return None
        self._plan.take()
        return b"", fault, self._record(Outcome.FAULTED, region, fault=fault.kind)

    def answer(self, line: str, headers: Headers, body: bytes) -> Delivery:
        """Answer a request of the API, which `line` begins."""
        action, region = headers.get("x-tc-action", ""), headers.get("x-tc-region", "")
        request_id = str(uuid.uuid4())
        try:
            account = self._admit(line, headers, body)
            parameters = parameters_of(action, body)
            owner = self._owners.get(parameters["SmsSdkAppId"])
            check(owner, "InvalidParameterValue.SdkAppIdNotExist", "The SdkAppId does not exist.")
            failure = "UnauthorizedOperation.SmsSdkAppIdVerifyFail"
            check(owner == account.secret_id, failure, "The SdkAppId is another account's.")
            if action == PULL:
                return self._pull(parameters["SmsSdkAppId"], region, parameters["Limit"], request_id)
            return http_message(self._good_body(self._search(region, parameters), request_id)), None, 0
        except ApiError as error:
            code, message = error.args
            self._counts["codes"][code] += 1
            self._limited += code == "RequestLimitExceeded"
            pull = self._record(Outcome.REFUSED, region, request_id, code=code) if action == PULL else 0
            return http_message(error_body(code, message, request_id)), None, pull

    def settle(self, pull: int, *, sent: bool) -> None:
        """Set whether the answer to pull number `pull` (0 for none) was sent."""
        if pull:
            before = self._log[pull - 1]
            after = self._log[pull - 1] = dataclasses.replace(before, sent=sent)
            self._lost += len(before.replies) * (before.delivered - after.delivered)

    def _admit(self, line: str, headers: Headers, body: bytes) -> Account:
        check(line.startswith("POST / "), "UnsupportedProtocol", "The request is not a POST of /.")
        account = authenticate(headers, body, self._accounts, self._now())
        action, region = headers["x-tc-action"], headers.get("x-tc-region")
        is_json = headers["content-type"].partition(";")[0].strip().lower() == "application/json"
        check(is_json, "UnsupportedProtocol", "The content type is not application/json.")
        check(action in PARAMETERS, "InvalidAction", "The action does not exist.")
        check(headers["x-tc-version"] == VERSION, "NoSuchVersion", "The version does not exist.")
        check(region, "MissingParameter", "The request is missing the header X-TC-Region.")
        check(region in REGIONS, "UnsupportedRegion", "The region is not supported.")
        limit = self.settings.rate_limit if action == PULL else self.settings.search_rate_limit
        now, window = self._clock(), self._windows[account.secret_id, action]
        while window and window[0] <= now - 1:
            window.popleft()
        has_room = not limit or len(window) < limit
        check(has_room, "RequestLimitExceeded", f"There are more than {limit} requests a second.")
        window.append(now)
        return account

    def _pull(self, app_id: str, region: str, limit: int, request_id: str) -> Delivery:
        details: dict[str, Any] = {"app_id": app_id, "limit": limit}
        fault = self._plan.take(app_id)
        replies: tuple[bytes, ...] = ()
        if fault is None or fault.pops:
            queue = self._queues[app_id, region]
            count = min(limit, self.settings.page_size, len(queue))
            replies = tuple([queue.popleft() for _ in range(count)])
        outcome = Outcome.ANSWERED if replies else Outcome.EMPTY
        if fault:
            details["fault"] = fault.kind
            if not (fault.kind in INTACT or (fault.kind is FaultKind.DELAY and fault.pops)):
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
        check(is_number, "InvalidParameterValue.IncorrectPhoneNumber", "The phone number is not in E.164.")
        is_window = now - _MAX_SEARCH_AGE <= begin <= end
        check(is_window, "InvalidParameterValue", "BeginTime is over 7 days back, or after EndTime.")
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
            return http_message(body)
        bodies = {
            FaultKind.NOT_JSON: b"<html><body>upstream request timeout</body></html>",
            FaultKind.NO_RESPONSE: orjson.dumps({"RequestId": request_id}),
            FaultKind.HTTP_STATUS: b"<html><h1>%d</h1></html>" % fault.status,
            FaultKind.API_ERROR: error_body(fault.code, "A fault that was asked for.", request_id),
            FaultKind.BODY: fault.body,
            FaultKind.GZIP: gzip.compress(body),
            FaultKind.NO_REQUEST_ID: self._good_body(replies, None),
        }
        types = dict.fromkeys((FaultKind.CONTENT_TYPE, FaultKind.BODY), fault.content_type)
        types[FaultKind.HTTP_STATUS] = "text/html"
        status = fault.status if fault.kind is FaultKind.HTTP_STATUS else 200
        extra = "Content-Encoding: gzip\r\n" if fault.kind is FaultKind.GZIP else ""
        body = bodies.get(fault.kind, body)
        message = http_message(body, types.get(fault.kind, "application/json"), status=status, extra=extra)
        return message[: -(len(body) // 2)] if fault.kind is FaultKind.TRUNCATE else message

    # What follows are commands of the control API.

    def enqueue(
        self, app_id: str, records: Iterable[Any] = (), raw: Iterable[str] = (), region: str = DEFAULT_REGION
    ) -> int:
        """Append replies to a queue: JSON values, or texts of Latin-1 that stand for bytes."""
        if app_id not in self._owners or region not in REGIONS:
            raise ValueError(f"no application {app_id!r} in region {region!r}: register it first")
        replies = [encode(record) for record in records] + [reply.encode("latin-1") for reply in raw]
        self._queues[app_id, region].extend(replies)
        self._history[app_id, region].extend(replies)
        self._enqueued += len(replies)
        return len(replies)

    def configure(self, **changes: Any) -> Settings:
        """Change settings, and return them all."""
        self.settings = dataclasses.replace(self.settings, **changes)
        return self.settings

    def add_account(self, **fields: Any) -> None:
        """Register an account, or replace the one with its secret id."""
        account = Account(**fields)
        self._accounts[account.secret_id] = account
        self._owners.update(dict.fromkeys(account.app_ids, account.secret_id))

    def stats(self) -> Stats:
        """Return the counters."""
        return Stats(
            pulls=len(self._log),
            enqueued=self._enqueued,
            handed_out=self._handed_out,
            lost=self._lost,
            limited=self._limited,
            planned_faults=self._plan.count(),
            queued={"/".join(key): len(queue) for key, queue in self._queues.items()},
            **{name: dict(self._counts[name]) for name in ("requests", "outcomes", "faults", "codes")},
        )

    def log(self, start: int = 0, stop: int | None = None) -> list[Pull]:
        """Return a slice of the pulls so far."""
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


def error_body(code: str, message: str, request_id: str) -> bytes:
    """Return the body of an answer that is an error."""
    return orjson.dumps({"Response": {"Error": {"Code": code, "Message": message}, "RequestId": request_id}})


def http_message(
    body: bytes, content_type: str = "application/json", *, status: int = 200, extra: str = ""
) -> bytes:
    """Return a whole HTTP message; `extra` are header lines, each with its end."""
    reason = http.client.responses.get(status, "")
    entity = f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    return f"HTTP/1.1 {status} {reason}\r\n{entity}{extra}\r\n".encode("latin-1") + body
