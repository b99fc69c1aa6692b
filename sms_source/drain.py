"""Empties the queues: probes each, fans out while answers come back full, keeps to the rate, stops in time.

Each worker thread journals its own answer before it hands the pull on, over a bounded queue, to the one
reader. A worker never repeats a request whose outcome is in doubt: pulling again fetches the next replies.
"""

import logging
import queue
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from sms_source.answers import Answer
from sms_source.client import RawAnswer, SmsClient
from sms_source.configuration import SmsSourceConfiguration
from sms_source.errors import (
    InDoubtError,
    JournalError,
    NotExecutedError,
    PullError,
    SmsSourceError,
    error_for,
)
from sms_source.journal import JournalDrain, Pull
from sms_source.rate import account_rate
from sms_source.settings import MAX_IN_DOUBT, MAX_NOT_EXECUTED, PULLS_AHEAD

logger = logging.getLogger(__name__)

BACKOFF_SECONDS = 0.25
LONGEST_BACKOFF_SECONDS = 15.0


@dataclass
class DrainReport:
    """What a drain did; filled while it goes on, complete when its pulls are loaded.

    requests: sent to the API, whatever came of them.
    seconds: from the first request to the last answer.
    pulls: that handed out replies or are in doubt, by application id: the rows of the ledger.
    replies: rows for `replies`, by application id; what the journal gives again too.
    rejected: records that did not fit.
    in_doubt: pulls whose outcome nobody can know, those of an earlier process too.
    at_risk: the most replies that these can have lost.
    newest: the newest `ReplyTime`.
    rate_limited: requests that the API refused for its rate.
    failures: what ended the drain of an application before its queue was empty.
    drained: whether every queue was seen empty.
    """

    requests: int = 0
    seconds: float = 0.0
    pulls: Counter[str] = field(default_factory=Counter)
    replies: Counter[str] = field(default_factory=Counter)
    rejected: int = 0
    in_doubt: int = 0
    at_risk: int = 0
    newest: datetime | None = None
    rate_limited: int = 0
    failures: list[Exception] = field(default_factory=list)
    drained: bool = False

    def raise_for_failure(self) -> None:
        """Raises what ended the drain, if anything did; call it after the load."""
        if self.failures:
            raise self.failures[0]


class _Queue:
    """The queue of one application: how many pulls it may have in flight, and whether it is done."""

    def __init__(self, sms_sdk_app_id: str) -> None:
        self.sms_sdk_app_id = sms_sdk_app_id
        self.in_flight = 0
        self.fanned_out = False
        self.done = False
        self.resume_at = 0.0
        self.not_executed = 0
        self.in_doubt = 0
        # Pulls that were in flight together fail together: they count as one failure in a row.
        self.failures = 0

    def wants(self, now: float) -> bool:
        return not self.done and now >= self.resume_at and (self.fanned_out or self.in_flight == 0)


class Drain:
    """One emptying of the queues of several applications.

    Args:
        options: whose queues to empty, and how.
        journal: where the pulls of this drain are kept.
        most_replies: stops pulling before more than this many replies have been handed out.
        stop: set by others to end pulling; what is in flight is still read.
        report: is filled.
        on_full: is called when all is read, if there may be more than `most_replies`.
    """

    def __init__(
        self,
        options: SmsSourceConfiguration,
        journal: JournalDrain,
        *,
        most_replies: int,
        stop: threading.Event,
        report: DrainReport,
        on_full: Callable[[], None] = lambda: None,
    ) -> None:
        self.report = report
        self._options = options
        self._journal = journal
        self._queues = [_Queue(app_id) for app_id in options.sms_sdk_app_ids]
        self._limit = options.pull_limit
        self._most_replies = max(most_replies, self._limit)
        self._rate = account_rate(options.pulls_per_second)
        self._stop = stop
        self._on_full = on_full
        self._replies = 0
        self._request_ids: set[str] = set()
        self._cancelled = threading.Event()
        self._changed = threading.Condition()
        self._workers: list[threading.Thread] = []
        self._working = 0
        self._results: queue.Queue[Pull | None] = queue.Queue(maxsize=PULLS_AHEAD)
        self._first: Pull | None = None
        self._started_at = 0.0

    @property
    def drain_id(self) -> str:
        """Its name in the journal."""
        return self._journal.drain_id

    def start(self) -> None:
        """Starts pulling, some way ahead of whoever reads."""
        self._started_at = time.monotonic()
        self._start_worker()

    def begin(self) -> bool:
        """Starts if need be; False if nothing comes, and the report tells whether that is all there is."""
        if not self._workers:
            self.start()
        self._first = self._results.get()
        if self._first is None:
            self._results.put(None)  # who asks again gets the same answer
        return self._first is not None

    def pulls(self) -> Iterator[Pull]:
        """The pulls that handed out replies or are in doubt, journaled, as they come in.

        Ends when every queue was seen empty, has failed, or enough was pulled; the report tells which.
        Closing the iterator early ends the drain.
        """
        try:
            if self._first is None:
                self.begin()
            while self._first is not None:
                yield self._first
                self._first = self._results.get()
        finally:
            self.close()
        if not (self.report.drained or self.report.failures or self._stop.is_set()):
            self._on_full()

    def close(self) -> None:
        """Stops pulling, and waits for what is in flight: the journal has what nobody read."""
        with self._changed:
            self._cancelled.set()
            self._changed.notify_all()
        while any(worker.is_alive() for worker in self._workers):
            with suppress(queue.Empty):
                self._results.get(timeout=0.05)
        self._journal.close()

    def _start_worker(self) -> None:
        self._working += 1
        worker = threading.Thread(target=self._work, name=f"pull-{len(self._workers) + 1}", daemon=True)
        self._workers.append(worker)
        worker.start()

    def _work(self) -> None:
        """A worker thread: pulls for whichever queue wants it, until none ever will again."""
        try:
            with SmsClient.of(self._options) as client:
                while (app := self._next()) is not None:
                    pull = self._pull(client, app)
                    if pull is not None:
                        self._results.put(pull)
        except Exception as error:  # noqa: BLE001 - a thread's failure must not cost what the others have pulled
            self._fail_all(error)
        with self._changed:
            self._working -= 1
            last = self._working == 0
        if last:
            self.report.seconds = time.monotonic() - self._started_at
            self.report.drained = all(q.done for q in self._queues) and not self.report.failures
            self._results.put(None)

    def _next(self) -> _Queue | None:
        """The next queue to pull from; waits for one; None when there is nothing more to do."""
        with self._changed:
            while True:
                if self._stop.is_set() or self._cancelled.is_set() or self._is_enough():
                    return None
                now = time.monotonic()
                ready = [q for q in self._queues if q.wants(now)]
                if ready:
                    app = min(ready, key=lambda q: q.in_flight)
                    app.in_flight += 1
                    if self._wants_worker():
                        self._start_worker()
                    return app
                waiting = [q for q in self._queues if not q.done]
                if not waiting:
                    return None
                pause = min((q.resume_at - now for q in waiting if q.in_flight == 0), default=None)
                # A stop from a signal handler can't notify: look for it now and then.
                self._changed.wait(0.2 if pause is None else min(max(pause, 0.001), 0.2))

    def _is_enough(self) -> bool:
        in_flight = sum(q.in_flight for q in self._queues)
        return self._replies + (in_flight + 1) * self._limit > self._most_replies

    def _wants_worker(self) -> bool:
        now = time.monotonic()
        return len(self._workers) < self._options.pull_workers and any(q.wants(now) for q in self._queues)

    def _pull(self, client: SmsClient, app: _Queue) -> Pull | None:
        """One pull, journaled; None when it handed nothing out."""
        failures = app.failures
        try:
            if not self._rate.acquire(self._is_over):
                self._release(app)
                return None
            intent = self._journal.intend(app.sms_sdk_app_id, self._options.api_region, self._limit)
        except OSError as error:
            self._rate.use()
            self._fail_all(_journal_error("No room could be reserved for an answer", error))
            self._release(app)
            return None
        try:
            self._rate.use()
            raw = client.pull(app.sms_sdk_app_id, self._limit)
        except InDoubtError as error:
            pull = self._journal_doubt(intent, error)
            self._failed(app, error, failures)
            return pull
        except PullError as error:
            self._journal.discard(intent)
            self._failed(app, error, failures)
            return None
        except SmsSourceError as error:  # the credentials failed; nothing was sent
            self._journal.discard(intent)
            self._fail_all(error)
            self._release(app)
            return None
        except Exception as error:  # noqa: BLE001 - whatever it is, the request may have gone out
            self._fail_all(error)
            self._release(app)
            return self._journal_doubt(intent, error_for("Client.Unexpected", type(error).__name__))
        return self._answered(app, intent, raw)

    def _is_over(self) -> bool:
        return self._stop.is_set() or self._cancelled.is_set()

    def _answered(self, app: _Queue, intent: Pull, raw: RawAnswer) -> Pull | None:
        records = raw.answer.records
        answered = intent.answered(self._with_unique_request_id(raw.answer), raw.body)
        if records:
            try:
                self._journal.answer(answered)
            except OSError as error:
                # The replies are here and nowhere else: hand them on, and pull no more. Should this run
                # die before they are loaded, the intent tells the next one that they are in doubt.
                self._fail_all(_journal_error("An answer could not be written", error))
        else:
            self._journal.discard(intent)
        with self._changed:
            self.report.requests += 1
            self._replies += len(records)
            app.in_flight -= 1
            app.not_executed = app.in_doubt = 0
            app.done = app.done or not records
            app.fanned_out = len(records) >= self._limit
            self._changed.notify_all()
        return answered if records else None

    def _with_unique_request_id(self, answer: Answer) -> Answer:
        """The answer, without its RequestId if another had it: replies must not share their keys."""
        with self._changed:
            if answer.request_id in self._request_ids:
                return answer._replace(request_id=None)
            if answer.records and answer.request_id:
                self._request_ids.add(answer.request_id)
        return answer

    def _journal_doubt(self, intent: Pull, error: PullError) -> Pull:
        pull = intent.doubted(f"{error.code}: {error.message}", error.request_id, error.body)
        try:
            self._journal.doubt(pull)
        except OSError as failure:
            self._fail_all(_journal_error("A pull in doubt could not be noted", failure))
        return pull

    def _failed(self, app: _Queue, error: PullError, failures_before: int) -> None:
        """Decides what follows a failed pull: the next one after a pause, or the end of the queue's drain."""
        with self._changed:
            self.report.requests += 1
            self.report.rate_limited += error.code.startswith("RequestLimitExceeded")
            app.in_flight -= 1
            app.fanned_out = False
            if app.failures == failures_before:
                app.failures += 1
                if isinstance(error, NotExecutedError):
                    app.not_executed += 1
                elif isinstance(error, InDoubtError):
                    app.in_doubt += 1
                app.resume_at = time.monotonic() + _backoff(app.not_executed + app.in_doubt)
            refused = not isinstance(error, (NotExecutedError, InDoubtError))
            ends = refused or app.not_executed >= MAX_NOT_EXECUTED or app.in_doubt >= MAX_IN_DOUBT
            if ends and not app.done:
                self.report.failures.append(error)
            app.done = app.done or ends
            self._changed.notify_all()
        if not ends:
            kind = "is in doubt" if isinstance(error, InDoubtError) else "was not executed"
            logger.warning(
                "A pull of %s %s (%s); going on.",
                app.sms_sdk_app_id,
                kind,
                error.code,
                extra={"fields": {"sms_sdk_app_id": app.sms_sdk_app_id, "error": error.code}},
            )

    def _release(self, app: _Queue) -> None:
        with self._changed:
            app.in_flight -= 1
            self._changed.notify_all()

    def _fail_all(self, error: Exception) -> None:
        """Ends every queue's drain."""
        with self._changed:
            if not self._cancelled.is_set():
                self.report.failures.append(error)
            self._cancelled.set()
            self._changed.notify_all()


def _backoff(failures: int) -> float:
    """Seconds to wait after so many failures in a row: doubling, with jitter."""
    pause: float = min(BACKOFF_SECONDS * 2 ** (failures - 1), LONGEST_BACKOFF_SECONDS)
    return pause * random.uniform(0.5, 1.0)


def _journal_error(what: str, error: OSError) -> JournalError:
    return JournalError(
        f"{what} in the journal ({error}). Pulling has stopped so that no reply is lost: "
        "free or enlarge the disk of journal_url, or see to its store, then run again."
    )
