"""The commands of a running simulator, as a client has them."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from .actions import REPLIES
from .faults import Fault
from .records import Account, HandedOut, LogEntry, Push, Stats, encode, to_json, to_log_entry, to_push
from .server import CONTROL_PATH
from .service import DEFAULT_REGION
from .settings import Settings

_PAGE = 1000


class Control:
    """Tells a simulator what to do and asks what it did, given its URL, from any process of the machine.

    Each method raises `ValueError` for what the simulator refuses, and `OSError` if nothing answers there.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def enqueue(
        self, app_id: str, records: Iterable[Any], *, feed: str = REPLIES, region: str = DEFAULT_REGION
    ) -> int:
        """Append records, which are JSON values or bytes to be sent as they are, and return their number.

        What has a callback URL is pushed as well, or instead: see `Settings`.
        """
        total, encoded = 0, map(encode, records)
        while batch := list(itertools.islice(encoded, 10_000)):
            total += self._call("enqueue", app_id=app_id, raw=batch, feed=feed, region=region)
        return total

    def make_up(
        self, app_id: str, count: int, *, feed: str = REPLIES, seed: int = 1, region: str = DEFAULT_REGION
    ) -> int:
        """Append `demo_replies` or `demo_receipts` of the days before now, and return their number."""
        made = self._call("make_up", app_id=app_id, count=count, feed=feed, seed=seed, region=region)
        return int(made)

    def fail_next(
        self,
        fault: Fault | str,
        *,
        times: int = 1,
        after: int = 0,
        app_id: str | None = None,
        action: str | None = None,
        **options: Any,
    ) -> None:
        """Make requests fail, `times` in a row, once `after` others went well and earlier plans are over.

        `fault` is a `Fault`, or the name of a `FaultKind` with `options` for its other fields. With `app_id`,
        it waits for the requests of that application alone; with `action`, for those of one action.
        Without, it strikes the pulls of any queue, and no look-up.
        """
        target = {"app_id": app_id, "action": action}
        self._call("fail_next", fault=fault, times=times, after=after, **target, **options)

    def fail_repeatedly(self, faults: Iterable[Fault | str | None], *, action: str | None = None) -> None:
        """Run through `faults` over and over, a request each; None is a request that goes well."""
        self._call("fail_repeatedly", faults=list(faults), action=action)

    def fail_randomly(
        self, mix: Mapping[Fault | str, float], *, seed: int, action: str | None = None
    ) -> None:
        """Draw each request's fault from `mix`, which maps faults to probabilities; the rest goes well."""
        self._call("fail_randomly", mix=list(mix.items()), seed=seed, action=action)

    def clear_faults(self) -> None:
        """Forget all faults to come."""
        self._call("clear_faults")

    def configure(self, **changes: Any) -> Settings:
        """Change fields of `Settings` and return them all."""
        return Settings(**self._call("configure", **changes))

    def add_account(self, account: Account) -> None:
        """Register an account and its application ids, or replace the one with its secret id."""
        self._call("add_account", **vars(account))

    def push_to(self, feed: str, url: str | None, *, app_id: str | None = None) -> None:
        """Push what is enqueued from now on to a callback URL; None ends that.

        As at Tencent, there is one URL for the account's replies, and one an application for its receipts.
        """
        self._call("push_to", feed=feed, url=url, app_id=app_id)

    def wait_for_pushes(self, timeout: float = 30) -> None:
        """Return when no record waits for its push. Raises `TimeoutError` after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while waiting := self.stats().to_push:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{waiting} records are not pushed after {timeout} seconds")
            time.sleep(0.01)

    def stats(self, feed: str | None = None) -> Stats:
        """Return the counters, of one feed or of both."""
        return Stats(**self._call("stats", feed=feed))

    def log(self, start: int = 0, stop: int | None = None) -> list[LogEntry]:
        """Return the pulls so far, of both feeds, or the slice of them from `start` to `stop`."""
        return [to_log_entry(entry) for entry in self._pages("log", start, stop)]

    def look_ups(self, start: int = 0, stop: int | None = None) -> list[LogEntry]:
        """Return the look-ups so far, of both feeds, or the slice of them from `start` to `stop`."""
        return [to_log_entry(entry) for entry in self._pages("look_ups", start, stop)]

    def pushes(self, start: int = 0, stop: int | None = None) -> list[Push]:
        """Return the attempts to push so far, or the slice of them from `start` to `stop`."""
        return [to_push(push) for push in self._pages("pushes", start, stop)]

    def handed_out(self, start: int = 0) -> Iterator[HandedOut]:
        """Yield each popped record, a page of pulls at a time; `start` skips that many pulls."""
        for entry in map(to_log_entry, self._pages("log", start, None)):
            for position, record in enumerate(entry.raw):
                yield HandedOut(entry.request_id, position, record, entry.delivered, entry.feed)

    def _pages(self, command: str, start: int, stop: int | None) -> Iterator[Any]:
        while stop is None or start < stop:
            end = start + _PAGE if stop is None else min(start + _PAGE, stop)
            page = self._call(command, start=start, stop=end)
            yield from page
            start += len(page)
            if len(page) < _PAGE:
                return

    def _call(self, command: str, **arguments: Any) -> Any:
        connection = http.client.HTTPConnection(self.url.removeprefix("http://").rstrip("/"), timeout=60)
        with contextlib.closing(connection):
            connection.request("POST", CONTROL_PATH + command, to_json(arguments))
            response = connection.getresponse()
            result = orjson.loads(response.read())
        if response.status != 200:
            raise ValueError(result["error"])
        return result
