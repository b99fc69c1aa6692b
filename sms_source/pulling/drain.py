"""Empties the queues: probes each, pulls side by side while answers come back full, keeps to the rate.

Each worker thread has the journal keep its own answer before it hands the pull on, over a bounded queue, to
the one reader.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator

from sms_source.api.client import SmsClient
from sms_source.configuration import SmsSourceConfiguration
from sms_source.errors import InDoubtError, PullError, SmsSourceError
from sms_source.feeds import feeds_of
from sms_source.journal.pull import Pull
from sms_source.journal.writer import JournalDrain
from sms_source.pulling.bounds import Bounds
from sms_source.pulling.concurrency import Concurrency
from sms_source.pulling.handover import Handover
from sms_source.pulling.pull_once import Queue, Result, pull_once
from sms_source.pulling.queue_state import QueueState, queues_of
from sms_source.pulling.rate import rate_of
from sms_source.pulling.report import DrainReport

logger = logging.getLogger(__name__)


class Drain:
    """One emptying of the queues of several applications.

    Args:
        options: whose queues to empty, and how.
        journal: where the pulls of this drain are kept.
        bounds: how much a drain may hand out, and for how long it may go on.
        stop: set by others to end pulling; what is in flight is still read.
        report: is filled.
        on_full: is called once this drain is being read and a bound is reached, be the last pulls in flight:
            the queues may hold more. The drain is not closed before it returns.
        concurrency: of the drains before this one; by default, it is found out anew.
        backlog: queues of which it is known that more waits, so that they need no probe.
    """

    def __init__(
        self,
        options: SmsSourceConfiguration,
        journal: JournalDrain,
        *,
        bounds: Bounds | None = None,
        stop: threading.Event | None = None,
        report: DrainReport | None = None,
        on_full: Callable[[], None] = lambda: None,
        concurrency: Concurrency | None = None,
        backlog: Collection[Queue] = (),
    ) -> None:
        self.report = report or DrainReport()
        self._options = options
        self._journal = journal
        self._queues = queues_of(options, backlog)
        self._rates = {
            feed.action: rate_of(options.credentials.secret_id, feed.action, options.pulls_per_second)
            for feed in feeds_of(options.pull_feeds)
        }
        self._bounds = bounds or Bounds()
        self._concurrency = concurrency or Concurrency(
            options.pull_workers, options.pulls_per_second * len(options.pull_feeds)
        )
        self._stop = stop or threading.Event()
        self._on_full = on_full
        self._is_full = self._is_read = False
        self._cancelled = threading.Event()
        self._changed = self._concurrency.changed
        self._workers: list[threading.Thread] = []
        self._most_workers = self._concurrency.maximum
        self._working = 0
        self._waiting = 0
        self._results = Handover()
        self._first: Pull | None = None
        self._started_at = 0.0

    @property
    def drain_id(self) -> str:
        """Its name in the journal."""
        return self._journal.drain_id

    @property
    def in_flight(self) -> int:
        """Pulls without an answer yet."""
        return sum(state.in_flight for state in self._queues)

    @property
    def backlog(self) -> list[Queue]:
        """The queues whose last answer was full."""
        return [state.queue for state in self._queues if state.is_full]

    def start(self) -> None:
        """Start pulling, some way ahead of whoever reads. Without a thread, the report tells the failure."""
        self._started_at = time.monotonic()
        try:
            self._start_worker()
        except RuntimeError as error:
            self._fail_all(
                SmsSourceError(
                    f"No thread could be started, so nothing was pulled ({error}). Allow this user, or this "
                    "container, more processes and threads (ulimit -u, TasksMax of systemd, the container's "
                    "limit of pids), or end others, then run again."
                )
            )
            self._results.end()

    def begin(self) -> bool:
        """Start if need be; return False if nothing comes, and the report tells why."""
        if not self._started_at:
            self.start()
        if self._first is None:
            self._first = self._results.take()
        if self._first is None:
            self._results.end()  # who asks again gets the same answer
        return self._first is not None

    def pulls(self) -> Iterator[Pull]:
        """Yield the pulls that handed out records or are in doubt, kept by the journal, as they come in.

        Ends when every queue was seen empty, has failed, or a bound was reached; the report tells which.
        Closing the iterator early ends the drain.
        """
        try:
            pull = self._first if self.begin() else None
            self._is_read = True
            self._tell_if_full()
            while pull is not None:
                yield pull
                pull = self._results.take()
        finally:
            self.close()

    def close(self) -> None:
        """Stop pulling, and wait for what is in flight: the journal has what nobody read."""
        with self._changed:
            self._cancelled.set()
            self._changed.notify_all()
        self._results.open_wide()
        for worker in self._workers:  # also those that one of them still starts
            worker.join()
        self._journal.close()

    def _start_worker(self) -> None:
        self._working += 1
        worker = threading.Thread(target=self._work, name=f"pull-{len(self._workers) + 1}", daemon=True)
        self._workers.append(worker)
        try:
            worker.start()
        except BaseException:  # or the last of the others would not know that it is the last
            self._workers.remove(worker)
            self._working -= 1
            raise

    def _work(self) -> None:
        """Pull for whichever queue wants it, until none ever will again: a worker thread."""
        try:
            with SmsClient.of(self._options) as client:
                while (state := self._next()) is not None:
                    try:
                        pull = self._pull(client, state)
                    finally:
                        self._concurrency.end_pull()
                    if pull is not None:
                        self._results.put(pull)
                self._tell_if_full()
        except Exception as error:  # noqa: BLE001 - a thread's failure must not cost what the others have pulled
            self._fail_all(error)
        with self._changed:
            self._working -= 1
            last = self._working == 0
            self._changed.notify_all()
        if last:
            self.report.seconds = time.monotonic() - self._started_at
            self.report.drained = all(state.done for state in self._queues) and not self.report.failures
            self._results.end()

    def _tell_if_full(self) -> None:
        """Tell once that a bound was reached, unless what is left in the queues is not to be pulled now."""
        with self._changed:
            if not (self._is_read and self._is_full) or self._is_over() or self.report.failures:
                return
            tell, self._on_full = self._on_full, lambda: None
        try:
            tell()
        except Exception as error:  # noqa: BLE001 - the reader has records in its hands
            self._fail_all(error)

    def _next(self) -> QueueState | None:
        """Return the next queue to pull from, once one wants it; None when there is nothing more to do."""
        with self._changed:
            while True:
                if self._is_over() or self._is_enough():
                    return None
                now = time.monotonic()
                ready = [state for state in self._queues if state.wants(now)]
                if ready and self._concurrency.has_room:
                    state = min(ready, key=lambda state: (state.in_flight, state.pulls))
                    state.pull_begins()
                    self._concurrency.begin_pull()
                    self._call_another(now)
                    return state
                if all(state.done for state in self._queues):
                    return None
                pauses = [s.resume_at - now for s in self._queues if not s.done and s.resume_at > now]
                self._waiting += 1
                # A stop from a signal handler can't notify: look for it now and then.
                self._changed.wait(min([*pauses, 0.2]))
                self._waiting -= 1

    def _call_another(self, now: float) -> None:
        """Have a worker that waits, or a new one, take the next pull, if one more may be in flight."""
        if self._concurrency.has_room and any(state.wants(now) for state in self._queues):
            if self._waiting:
                self._changed.notify()
            elif len(self._workers) < self._most_workers:
                try:
                    self._start_worker()
                except RuntimeError as error:
                    self._most_workers = len(self._workers)
                    logger.warning("%s: pulling goes on with the threads that there are.", error)

    def _is_enough(self) -> bool:
        """Return whether one more pull might exceed a bound; from then on, none is made."""
        if not self._is_full:
            records = (self.in_flight + 1) * self._options.pull_limit
            self._is_full = self._bounds.reached(records, is_backlog=bool(self.backlog))
        return self._is_full

    def _is_over(self) -> bool:
        return self._stop.is_set() or self._cancelled.is_set()

    def _pull(self, client: SmsClient, state: QueueState) -> Pull | None:
        """Make one pull; return it when it handed out records or is in doubt."""
        failures = state.failures
        rate = self._rates[state.queue.feed.action]
        permit = rate.acquire(self._is_over)
        if permit is None:
            self._abandon(state)
            return None
        began, cpu_began = time.monotonic(), time.thread_time()
        with permit:
            result = pull_once(client, self._journal, state.queue, permit.use)
        if result.fatal is not None:
            self._fail_all(result.fatal)
        if result.answer is not None:
            self._answered(state, result)
            self._concurrency.add(time.monotonic() - began, time.thread_time() - cpu_began)
        elif result.refused is not None:
            if result.refused.is_for_rate:
                rate.slow_down()
            self._failed(state, result.refused, failures)
        else:
            self._abandon(state)
        return result.pull

    def _answered(self, state: QueueState, result: Result) -> None:
        with self._changed:
            self.report.requests += 1
            count = len(result.pull.records) if result.pull else 0
            self._bounds.add(count, len(result.pull.body) if result.pull else 0)
            state.answered(count)

    def _failed(self, state: QueueState, error: PullError, failures_before: int) -> None:
        """Decide what follows a failed pull: the next one after a pause, or the end of the queue's drain."""
        app_id = state.queue.sms_sdk_app_id
        with self._changed:
            self.report.requests += 1
            self.report.rate_limited += error.is_for_rate
            was_done = state.done
            ends = state.failed(error, failures_before)
            if ends and not was_done:
                self.report.failures.append(error)
            self._changed.notify_all()
        if not ends and not error.is_for_rate:  # those the summary counts
            kind = "is in doubt" if isinstance(error, InDoubtError) else "was not executed"
            logger.warning(
                "A pull of %s of application %s %s (%s); going on.",
                state.queue.feed.name,
                app_id,
                kind,
                error.code,
                extra={"fields": {"sms_sdk_app_id": app_id, "error": error.code}},
            )

    def _abandon(self, state: QueueState) -> None:
        with self._changed:
            state.abandoned()
            self._changed.notify_all()

    def _fail_all(self, error: Exception) -> None:
        """End every queue's drain."""
        with self._changed:
            if not self._cancelled.is_set():
                self.report.failures.append(error)
            self._cancelled.set()
            self._changed.notify_all()
