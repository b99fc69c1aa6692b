"""The API itself: who may ask, what is handed out, what is logged; and the commands that control it."""

from __future__ import annotations

import dataclasses
import threading
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from .actions import ACTIONS, RECEIPTS, REPLIES, Action, feed_of
from .admission import ApiError, Headers, authenticate, check, parameters_of, window_of
from .callbacks import Callbacks
from .demo import demo_receipts, demo_replies
from .fault_plan import FaultPlan
from .faults import UNREAD, Fault, FaultKind
from .log import Log
from .messages import error_body, good_body, http_message, message_with
from .pushing import Pusher
from .queues import Key, Queues
from .records import Account, LogEntry, Outcome, Push, Stats, encode
from .settings import Settings

VERSION = "2021-01-11"
REGIONS = ("ap-guangzhou", "ap-beijing", "ap-nanjing", "ap-singapore")
DEFAULT_REGION = REGIONS[0]


class Delivery(NamedTuple):
    """A whole HTTP message, the fault in its way, and its entry in the log."""

    message: bytes
    fault: Fault | None = None
    entry: LogEntry | None = None


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
        self._queues = Queues()
        self._windows: dict[tuple[str, str], deque[float]] = defaultdict(deque)
        self._log = Log()
        self._callbacks = Callbacks(settings.delivery_seed)
        self._pusher = Pusher(lambda: self.settings, self._now)
        self._plan = plan = FaultPlan()
        self.commands: Mapping[str, Callable[..., Any]] = {
            "enqueue": self.enqueue,
            "make_up": self.make_up,
            "fail_next": plan.fail_next,
            "fail_repeatedly": plan.fail_repeatedly,
            "fail_randomly": plan.fail_randomly,
            "clear_faults": plan.clear_faults,
            "configure": self.configure,
            "add_account": self.add_account,
            "push_to": self._callbacks.push_to,
            "stats": self.stats,
            "log": self.log,
            "look_ups": self.look_ups,
            "pushes": self.pushes,
        }

    def begin(self, headers: Headers) -> Delivery | None:
        """Note a request whose head has arrived; a delivery if it is to fail before its body is read."""
        name = headers.get("x-tc-action", "")
        self._log.note_request(name)
        action = ACTIONS.get(name)
        fault = self._plan.next(action) if action else None
        if action is None or fault is None or fault.kind not in UNREAD:
            return None
        self._plan.take(action)
        region = headers.get("x-tc-region", "")
        entry = self._log.add(action, self._now(), region, "", Outcome.FAULTED, fault=fault.kind)
        return Delivery(b"", fault, entry)

    def answer(self, line: str, headers: Headers, body: bytes) -> Delivery:
        """Answer a request of the API, which `line` begins."""
        name, region = headers.get("x-tc-action", ""), headers.get("x-tc-region", "")
        request_id = str(uuid.uuid4())
        try:
            account = self._admit(line, headers, body)
            parameters = parameters_of(ACTIONS[name], body)
            owner = self._owners.get(parameters["SmsSdkAppId"])
            check(owner, "InvalidParameterValue.SdkAppIdNotExist", "The SdkAppId does not exist.")
            failure = "UnauthorizedOperation.SmsSdkAppIdVerifyFail"
            check(owner == account.secret_id, failure, "The SdkAppId is another account's.")
            return self._hand_out(ACTIONS[name], region, parameters, request_id)
        except ApiError as error:
            code, message = error.args
            self._log.note_code(name, code, is_limit=code == "RequestLimitExceeded")
            entry = None
            if action := ACTIONS.get(name):
                entry = self._log.add(action, self._now(), region, request_id, Outcome.REFUSED, code=code)
            return Delivery(http_message(error_body(code, message, request_id)), entry=entry)

    def note_sent(self, entry: LogEntry | None, *, sent: bool) -> None:
        """Note whether the answer was sent."""
        if entry:
            self._log.note_sent(entry, sent=sent)

    def close(self) -> None:
        """Push no more."""
        self._pusher.close()

    def _admit(self, line: str, headers: Headers, body: bytes) -> Account:
        check(line.startswith("POST / "), "UnsupportedProtocol", "The request is not a POST of /.")
        account = authenticate(headers, body, self._accounts, self._now())
        name, region = headers["x-tc-action"], headers.get("x-tc-region")
        is_json = headers["content-type"].partition(";")[0].strip().lower() == "application/json"
        check(is_json, "UnsupportedProtocol", "The content type is not application/json.")
        check(name in ACTIONS, "InvalidAction", "The action does not exist.")
        check(headers["x-tc-version"] == VERSION, "NoSuchVersion", "The version does not exist.")
        check(region, "MissingParameter", "The request is missing the header X-TC-Region.")
        check(region in REGIONS, "UnsupportedRegion", "The region is not supported.")
        settings, is_look_up = self.settings, ACTIONS[name].is_look_up
        limit = settings.look_up_rate_limit if is_look_up else settings.rate_limit
        now, window = self._clock(), self._windows[account.secret_id, name]
        while window and window[0] <= now - 1:
            window.popleft()
        has_room = not limit or len(window) < limit
        check(has_room, "RequestLimitExceeded", f"There are more than {limit} requests a second.")
        window.append(now)
        return account

    def _hand_out(
        self, action: Action, region: str, parameters: Mapping[str, Any], request_id: str
    ) -> Delivery:
        settings, app_id, limit = self.settings, parameters["SmsSdkAppId"], parameters["Limit"]
        window = window_of(parameters, int(self._now())) if action.is_look_up else None
        fault = self._plan.take(action, app_id)
        records: tuple[bytes, ...] = ()
        if fault is None or fault.pops:
            key = Key(action.feed, app_id, region)
            if window:
                records = self._queues.look_up(key, window, limit, settings, self._clock())
            else:
                records = self._queues.pop(key, min(limit, settings.page_size))
        details: dict[str, Any] = {"app_id": app_id, "limit": limit, "raw": records}
        if window:
            details["phone_number"] = window.phone_number
        outcome = Outcome.ANSWERED if records else Outcome.EMPTY
        if fault:
            details["fault"] = fault.kind
            if not fault.is_answered:
                outcome = Outcome.FAULTED
            if fault.kind is FaultKind.API_ERROR:
                details["code"] = fault.code
                self._log.note_code(action.name, fault.code)
            if fault.kind is FaultKind.DUPLICATE_REQUEST_ID:
                request_id = self._log.last_request_id(action) or request_id
            message = message_with(fault, action, records, request_id, settings.empty_set)
        else:
            message = http_message(good_body(action, records, request_id, settings.empty_set))
        entry = self._log.add(action, self._now(), region, request_id, outcome, **details)
        return Delivery(message, fault, entry)

    def _now(self) -> float:
        return self._clock() + self.settings.clock_skew

    # What follows are commands of the control API.

    def enqueue(
        self,
        app_id: str,
        records: Iterable[Any] = (),
        raw: Iterable[str] = (),
        feed: str = REPLIES,
        region: str = DEFAULT_REGION,
    ) -> int:
        """Append records: JSON values, or texts of Latin-1 that stand for bytes. Return their number."""
        if app_id not in self._owners or region not in REGIONS:
            raise ValueError(f"no application {app_id!r} in region {region!r}: register it first")
        encoded = [encode(record) for record in records] + [record.encode("latin-1") for record in raw]
        url = self._callbacks.url_of(feed_of(feed), app_id)
        queued, pushed = self._callbacks.divide(encoded, self.settings.delivery if url else "queue")
        self._queues.append(Key(feed, app_id, region), encoded, queued, self._clock())
        self._log.note_enqueued(feed, len(encoded))
        if pushed:
            self._pusher.push(feed, app_id, url, pushed)
        return len(encoded)

    def make_up(
        self, app_id: str, count: int, feed: str = REPLIES, seed: int = 1, region: str = DEFAULT_REGION
    ) -> int:
        """Append made-up records of the days before now, and return their number."""
        make = demo_receipts if feed_of(feed) == RECEIPTS else demo_replies
        return self.enqueue(app_id, make(count, seed=seed, now=int(self._clock())), feed=feed, region=region)

    def configure(self, **changes: Any) -> Settings:
        """Change settings, and return them all."""
        self.settings = dataclasses.replace(self.settings, **changes)
        if "delivery_seed" in changes:
            self._callbacks.draw_from(self.settings.delivery_seed)
        return self.settings

    def add_account(self, **fields: Any) -> None:
        """Register an account, or replace the one with its secret id."""
        account = Account(**fields)
        self._accounts[account.secret_id] = account
        self._owners.update(dict.fromkeys(account.app_ids, account.secret_id))

    def stats(self, feed: str | None = None) -> Stats:
        """Return the counters, of one feed or of both."""
        pusher = self._pusher
        with pusher.lock:
            pushes = {name: getattr(pusher, name) for name in ("pushed", "given_up", "to_push")}
            pushes["pushes"] = len(pusher.log)
        queued = self._queues.sizes(feed and feed_of(feed))
        counters = self._log.counters(feed)
        return Stats(planned_faults=self._plan.count(), queued=queued, **counters, **pushes)

    def log(self, start: int = 0, stop: int | None = None) -> list[LogEntry]:
        """Return a slice of the pulls so far."""
        return self._log.pulls[start:stop]

    def look_ups(self, start: int = 0, stop: int | None = None) -> list[LogEntry]:
        """Return a slice of the look-ups so far."""
        return self._log.look_ups[start:stop]

    def pushes(self, start: int = 0, stop: int | None = None) -> list[Push]:
        """Return a slice of the attempts to push so far."""
        with self._pusher.lock:
            return self._pusher.log[start:stop]
