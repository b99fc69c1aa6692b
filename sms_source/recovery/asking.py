"""Asks for the records of one phone number, and repeats a look-up until it is answered.

A window that gives as many records as an answer can hold may have more, and is halved. Whether a window's
ends belong to it is not documented, so halves overlap by a second, and of what two windows found of one
content the larger number counts, not the sum.
"""

import threading
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from sms_source.api.answers import record_texts
from sms_source.api.client import RawAnswer, SmsClient
from sms_source.configuration import SmsSourceConfiguration
from sms_source.errors import PullError, RefusedError
from sms_source.feeds import Feed
from sms_source.loading.records import misfit
from sms_source.pulling.queue_state import backoff
from sms_source.pulling.rate import RateLimiter, rate_of
from sms_source.recovery.content import Content, content_of, content_of_misfit
from sms_source.recovery.questions import CLOCK_SECONDS, ON_ITS_WAY_SECONDS, Question, within_reach
from sms_source.settings import MAX_PULL_LIMIT

ATTEMPTS = 10
"""Of one look-up, over a minute: what is still refused then is told."""

_NO_NUMBER = "InvalidParameterValue.IncorrectPhoneNumber"
_TOO_EARLY = ("InvalidParameterValue.BeginTimeVerifyFail", "InvalidParameterValue.InvalidStartTime")


class Record(NamedTuple):
    """A record that a look-up found: its answer, and its place there."""

    raw: RawAnswer
    position: int

    @property
    def value(self) -> Any:
        """The record, decoded."""
        return self.raw.answer.records[self.position]

    def text(self, feed: Feed) -> str:
        """Return the record as it came."""
        return record_texts(feed, self.raw.body)[self.position]

    def content(self, feed: Feed, pseudonym_key: str | None) -> Content:
        """Return the record's content, as the table has it, or what it is in `rejected_records`."""
        if misfit(feed, self.value):
            return content_of_misfit(self.text(feed), pseudonym_key)
        return content_of(feed, self.value, pseudonym_key)


@dataclass
class Found:
    """What was found of one question.

    copies: the records of each content, as many as one answer had; those that do not fit a table, too.
    crowded: beginnings of the shortest windows that may hold more than an answer can.
    is_refused: whether the API does not take the number for one.
    """

    question: Question
    copies: dict[Content, list[Record]] = field(default_factory=dict)
    crowded: list[int] = field(default_factory=list)
    is_refused: bool = False

    def lacks(self, earlier: "Found") -> bool:
        """Return whether something that an earlier answer had is not here."""
        return any(len(self.copies.get(key, ())) < len(found) for key, found in earlier.copies.items())

    def add(self, other: "Found") -> None:
        """Take in what another answer had."""
        for key, found in other.copies.items():
            if len(found) > len(self.copies.get(key, ())):
                self.copies[key] = found


class Asker:
    """Asks the look-ups of an account; its methods may be called from several threads.

    requests: sent.
    rate_limited: of them, those that the API refused for the account's rate.

    Args:
        options: of the source, resolved.
        stop: ends it: what is asked then has no answer.
    """

    def __init__(self, options: SmsSourceConfiguration, stop: threading.Event) -> None:
        self.requests = 0
        self.rate_limited = 0
        self._options = options
        self._stop = stop
        self._lock = threading.Lock()
        self._clients: list[SmsClient] = []
        self._own = threading.local()
        self._margin = ON_ITS_WAY_SECONDS

    def find(self, question: Question) -> Found | None:
        """Return what there is, as far back as look-ups reach; None when it was stopped.

        Raises:
            PullError: the API refuses the question, or does not answer it.
        """
        margin = self._margin
        try:
            return self.find_again(within_reach(question, margin, self._options.tables_retention_days))
        except RefusedError as error:
            if error.code not in _TOO_EARLY or margin == CLOCK_SECONDS:
                raise
        # Tencent Cloud's clock is ahead: for all that is asked from now on, too.
        self._margin = CLOCK_SECONDS
        return self.find(question)

    def find_again(self, question: Question) -> Found | None:
        """Return what there is in just the window that was found to be within reach; errors as `find`."""
        found = Found(question)
        windows = [(question.begin, question.end)]
        while windows:
            begin, end = windows.pop()
            try:
                raw = self._ask(question, begin, end)
            except RefusedError as error:
                if error.code != _NO_NUMBER:
                    raise
                found.is_refused = True
                return found
            if raw is None:
                return None
            self._add(found, raw)
            if len(raw.answer.records) < MAX_PULL_LIMIT:
                continue
            if end - begin > 2:
                middle = (begin + end) // 2
                windows += [(begin, middle + 1), (middle, end)]
            elif not self._is_told_by_seconds(found, raw, begin, end):
                found.crowded.append(begin)
        return found

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients:
            client.close()

    def _is_told_by_seconds(self, found: Found, raw: RawAnswer, begin: int, end: int) -> bool:
        """Ask about single seconds of a window that can't be halved; return whether they tell all of it.

        They do if none of them is full, and together they have all that the window's answer had: then they
        belong to the windows that were asked for.
        """
        whole = Found(found.question)
        self._add(whole, raw)
        for seconds in (0, 1):
            parts = Found(found.question)
            is_full = False
            for first in range(begin, end + 1 - seconds):
                answer = self._ask(found.question, first, first + seconds)
                if answer is None:
                    return False
                is_full = is_full or len(answer.answer.records) >= MAX_PULL_LIMIT
                self._add(parts, answer)
                self._add(found, answer)
            if not is_full and not parts.lacks(whole):
                return True
        return False

    def _ask(self, question: Question, begin: int, end: int) -> RawAnswer | None:
        """Make one look-up, again and again until it is answered; return None when it was stopped."""
        rate = self._rate(question.feed)
        ask = partial(
            self._client().look_up, question.feed, question.sms_sdk_app_id, question.phone_number, begin, end
        )
        for attempt in range(1, ATTEMPTS + 1):
            permit = rate.acquire(self._stop.is_set)
            if permit is None:
                return None
            with self._lock:
                self.requests += 1
            try:
                with permit:
                    return ask(before_sending=permit.use)
            except PullError as error:
                if isinstance(error, RefusedError) or attempt == ATTEMPTS:
                    raise
                if error.is_for_rate:
                    rate.slow_down()
                    with self._lock:
                        self.rate_limited += 1
            self._stop.wait(backoff(attempt))
        return None

    def _add(self, found: Found, raw: RawAnswer) -> None:
        """Take in an answer: of each content the larger number of copies."""
        feed = found.question.feed
        key = self._options.pseudonym_key
        copies: dict[Content, list[Record]] = defaultdict(list)
        for position in range(len(raw.answer.records)):
            record = Record(raw, position)
            copies[record.content(feed, key)].append(record)
        found.add(Found(found.question, copies))

    def _rate(self, feed: Feed) -> RateLimiter:
        return rate_of(self._options.credentials.secret_id, feed.look_up_action, feed.look_ups_per_second)

    def _client(self) -> SmsClient:
        """Return this thread's client: a connection is not for several."""
        if not hasattr(self._own, "client"):
            self._own.client = SmsClient.of(self._options)
            with self._lock:
                self._clients.append(self._own.client)
        client: SmsClient = self._own.client
        return client
