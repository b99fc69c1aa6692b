"""Empties the queues: probes each, fans out while answers come back full, keeps to the rate, stops in time.

Each worker thread journals its own answer before it hands the pull on, over a bounded queue, to the one
reader. A worker never repeats a request whose outcome is in doubt: pulling again fetches the next replies.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from sms_source.api.answers import Answer
from sms_source.api.catalogue import error_for
from sms_source.api.client import RawAnswer, SmsClient
from sms_source.configuration import SmsSourceConfiguration
from sms_source.errors import (
    InDoubtError,
    JournalError,
    PullError,
    SmsSourceError,
)
from sms_source.feeds import REPLIES
from sms_source.journal.journal import JournalDrain, Pull
from sms_source.pulling.concurrency import FanOut
from sms_source.pulling.queue_state import ReplyQueue
from sms_source.pulling.rate import account_rate
from sms_source.pulling.report import DrainReport
from sms_source.settings import PULLS_AHEAD

logger = logging.getLogger(__name__)


class Drain:
    """One emptying of the queues of several applications.

    Args:
        options: whose queues to empty, and how.
        journal: where the pulls of this drain are kept.
        most_replies: stops pulling before more than this many replies have been handed out.
        stop: set by others to end pulling; what is in flight is still read.
        report: is filled.
        on_full: is called when all is read, if there may be more than `most_replies`.
        fan_out: of the drains before this one; by default, how many pulls are in flight is found out anew.
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
        fan_out: FanOut | None = None,
    ) -> None:
        self.report = report
        self._options = options
        self._journal = journal
        self._queues = [ReplyQueue(app_id) for app_id in options.sms_sdk_app_ids]
        self._limit = options.pull_limit
        self._most_replies = max(most_replies, self._limit)
        self._rate = account_rate(options.pulls_per_second)
        self._fan_out = fan_out or FanOut(options.pull_workers)
        self._stop = stop
        self._on_full = on_full
        self._replies = 0
        self._request_ids: set[str] = set()
        self._cancelled = threading.Event()
        self._changed = threading.Condition()
        self._workers: list[threading.Thread] = []
        self._working = 0
        self._waiting = 0
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
            self._changed.notify_all()
        if last:
            self.report.seconds = time.monotonic() - self._started_at
            self.report.drained = all(q.done for q in self._queues) and not self.report.failures
            self._results.put(None)

    def _next(self) -> ReplyQueue | None:
        """The next queue to pull from; waits for one; None when there is nothing more to do."""
        with self._changed:
            while True:
                if self._stop.is_set() or self._cancelled.is_set() or self._is_enough():
                    return None
                now = time.monotonic()
                ready = [q for q in self._queues if q.wants(now)]
                if ready and self._in_flight() < self._fan_out.width:
                    app = min(ready, key=lambda q: (q.in_flight, q.pulls))
                    app.pull_begins()
                    self._call_another(now)
                    return app
                open_queues = [q for q in self._queues if not q.done]
                if not open_queues:
                    return None
                pauses = [q.resume_at - now for q in open_queues if q.resume_at > now]
                self._waiting += 1
                # A stop from a signal handler can't notify: look for it now and then.
                self._changed.wait(min([*pauses, 0.2]))
                self._waiting -= 1

    def _call_another(self, now: float) -> None:
        """Has a worker that waits, or a new one, take the next pull, if one more may be in flight."""
        if self._in_flight() < self._fan_out.width and any(q.wants(now) for q in self._queues):
            if self._waiting:
                self._changed.notify()
            elif len(self._workers) < self._fan_out.most:
                self._start_worker()

    def _in_flight(self) -> int:
        return sum(q.in_flight for q in self._queues)

    def _is_enough(self) -> bool:
        return self._replies + (self._in_flight() + 1) * self._limit > self._most_replies

    def _pull(self, client: SmsClient, app: ReplyQueue) -> Pull | None:
        """One pull, journaled; None when it handed nothing out."""
        failures = app.failures
        try:
            if not self._rate.acquire(self._is_over):
                self._release(app)
                return None
            began, cpu_began = time.monotonic(), time.thread_time()
            intent = self._journal.intend(app.sms_sdk_app_id, self._options.api_region, self._limit)
        except OSError as error:
            self._rate.use()
            self._fail_all(_journal_error("No room could be reserved for an answer", error))
            self._release(app)
            return None
        try:
            self._rate.use()
            raw = client.pull(REPLIES, app.sms_sdk_app_id, self._limit)
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
        answered = self._answered(app, intent, raw)
        self._fan_out.add(time.monotonic() - began, time.thread_time() - cpu_began)
        return answered

    def _is_over(self) -> bool:
        return self._stop.is_set() or self._cancelled.is_set()

    def _answered(self, app: ReplyQueue, intent: Pull, raw: RawAnswer) -> Pull | None:
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
            app.answered(len(records), self._limit)
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

    def _failed(self, app: ReplyQueue, error: PullError, failures_before: int) -> None:
        """Decides what follows a failed pull: the next one after a pause, or the end of the queue's drain."""
        with self._changed:
            self.report.requests += 1
            self.report.rate_limited += error.code.startswith("RequestLimitExceeded")
            was_done = app.done
            ends = app.failed(error, failures_before)
            if ends and not was_done:
                self.report.failures.append(error)
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

    def _release(self, app: ReplyQueue) -> None:
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


def _journal_error(what: str, error: OSError) -> JournalError:
    return JournalError(
        f"{what} in the journal ({error}). Pulling has stopped so that no reply is lost: "
        "free or enlarge the disk of journal_url, or see to its store, then run again."
    )
