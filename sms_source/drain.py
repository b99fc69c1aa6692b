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
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow.compute as pc

from sms_source.answers import Answer
from sms_source.client import RawAnswer, SmsClient
from sms_source.errors import (
    InDoubtError,
    JournalError,
    NotExecutedError,
    PullError,
    SmsSourceError,
    error_for,
)
from sms_source.journal import JournalDrain, Pull
from sms_source.rate import RateLimiter
from sms_source.replies import Tables
from sms_source.settings import MAX_IN_DOUBT, MAX_NOT_EXECUTED

logger = logging.getLogger(__name__)

BACKOFF_SECONDS = 0.25
LONGEST_BACKOFF_SECONDS = 15.0


@dataclass
class DrainReport:
    """What a drain did; filled while it goes on, complete when its pulls are loaded.

    requests: sent to the API, whatever came of them.
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
    pulls: Counter[str] = field(default_factory=Counter)
    replies: Counter[str] = field(default_factory=Counter)
    rejected: int = 0
    in_doubt: int = 0
    at_risk: int = 0
    newest: datetime | None = None
    rate_limited: int = 0
    failures: list[Exception] = field(default_factory=list)
    drained: bool = False

    def count(self, pulls: Sequence[Pull], tables: Tables) -> None:
        """Adds pulls, and the rows that they became."""
        for pull in pulls:
            self.pulls[pull.sms_sdk_app_id] += 1
            self.in_doubt += pull.in_doubt
            self.at_risk += pull.limit if pull.in_doubt else 0
        for entry in pc.value_counts(tables.replies["sms_sdk_app_id"]).to_pylist():
            self.replies[entry["values"]] += entry["counts"]
        self.rejected += tables.rejected_replies.num_rows
        newest = pc.max(tables.replies["ReplyTime"]).as_py()
        self.newest = max(filter(None, (self.newest, newest)), default=None)

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
        new_client: makes a client; called once in each worker thread.
        journal: where the pulls of this drain are kept.
        sms_sdk_app_ids: whose queues to empty.
        region: of the queues; goes into the journal.
        workers: pulls in flight at most.
        limit: replies a pull, 1 to 100.
        most_replies: stops pulling before more than this many replies have been handed out.
        rate: shared by all drains of an account.
        stop: set by others to end pulling; what is in flight is still read.
        report: is filled.
    """

    def __init__(
        self,
        new_client: Callable[[], SmsClient],
        journal: JournalDrain,
        sms_sdk_app_ids: Sequence[str],
        *,
        region: str,
        workers: int,
        limit: int,
        most_replies: int,
        rate: RateLimiter,
        stop: threading.Event,
        report: DrainReport,
    ) -> None:
        self._new_client = new_client
        self._journal = journal
        self._queues = [_Queue(app_id) for app_id in sms_sdk_app_ids]
        self._region = region
        self._most_workers = workers
        self._limit = limit
        self._most_replies = max(most_replies, limit)
        self._rate = rate
        self._stop = stop
        self._report = report
        self._replies = 0
        self._request_ids: set[str] = set()
        self._cancelled = threading.Event()
        self._changed = threading.Condition()
        self._workers: list[threading.Thread] = []
        self._working = 0
        self._results: queue.Queue[Pull | None] = queue.Queue(maxsize=4 * workers)

    def pulls(self) -> Iterator[Pull]:
        """The pulls that handed out replies or are in doubt, journaled, as they come in.

        Ends when every queue was seen empty, has failed, or enough was pulled; the report tells which.
        Closing the iterator early stops pulling and waits for what is in flight.
        """
        self._start_worker()
        try:
            while (pull := self._results.get()) is not None:
                yield pull
        finally:
            self._cancelled.set()
            self._wake()
            while any(worker.is_alive() for worker in self._workers):
                self._discard_results()
            self._journal.close()
        self._report.drained = all(q.done for q in self._queues) and not self._report.failures

    def _discard_results(self) -> None:
        with suppress(queue.Empty):
            self._results.get(timeout=0.05)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _start_worker(self) -> None:
        self._working += 1
        worker = threading.Thread(target=self._work, name=f"pull-{len(self._workers) + 1}", daemon=True)
        self._workers.append(worker)
        worker.start()

    def _work(self) -> None:
        """A worker thread: pulls for whichever queue wants it, until none ever will again."""
        try:
            with closing(self._new_client()) as client:
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
        return len(self._workers) < self._most_workers and any(q.wants(now) for q in self._queues)

    def _pull(self, client: SmsClient, app: _Queue) -> Pull | None:
        """One pull, journaled; None when it handed nothing out."""
        failures = app.failures
        try:
            if not self._rate.acquire(self._is_over):
                self._release(app)
                return None
            intent = self._journal.intend(app.sms_sdk_app_id, self._region, self._limit)
        except OSError as error:
            self._fail_all(_journal_error("No room could be reserved for an answer", error))
            self._release(app)
            return None
        try:
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
            self._report.requests += 1
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
            self._report.requests += 1
            self._report.rate_limited += error.code.startswith("RequestLimitExceeded")
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
                self._report.failures.append(error)
            app.done = app.done or ends
            self._changed.notify_all()
        if not ends:
            kind = "is in doubt" if isinstance(error, InDoubtError) else "was not executed"
            logger.warning("A pull of %s %s (%s); going on.", app.sms_sdk_app_id, kind, error.code)

    def _release(self, app: _Queue) -> None:
        with self._changed:
            app.in_flight -= 1
            self._changed.notify_all()

    def _fail_all(self, error: Exception) -> None:
        """Ends every queue's drain."""
        with self._changed:
            if not self._cancelled.is_set():
                self._report.failures.append(error)
            self._cancelled.set()
            self._changed.notify_all()


def _backoff(failures: int) -> float:
    """Seconds to wait after so many failures in a row: doubling, with jitter."""
    pause: float = min(BACKOFF_SECONDS * 2 ** (failures - 1), LONGEST_BACKOFF_SECONDS)
    return pause * random.uniform(0.5, 1.0)


def _journal_error(what: str, error: OSError) -> JournalError:
    return JournalError(
        f"{what} in the journal ({error}). Pulling has stopped so that no reply is lost: "
        "free or enlarge the disk of journal_url, then run again."
    )
