"""The state of one queue in a drain: when to pull from it again, and when no more."""

import random
import time
from collections.abc import Collection

from sms_source.configuration import SmsSourceConfiguration
from sms_source.errors import InDoubtError, NotExecutedError, PullError
from sms_source.feeds import feeds_of
from sms_source.pulling.pull_once import Queue
from sms_source.settings import MAX_IN_DOUBT, MAX_NOT_EXECUTED

BACKOFF_SECONDS = 0.25
LONGEST_BACKOFF_SECONDS = 15.0


class QueueState:
    """What is known of one queue; guarded by its drain's lock.

    pulls: begun so far.
    in_flight: of them, those without an answer yet.
    done: whether it was seen empty, or failed too often: no more pulls.
    resume_at: no pull before this moment of the monotonic clock.
    failures: rises with each failure that counts; a pull that fails remembers what it was at its start.
    is_full: whether the last answer had as many records as were asked for.
    """

    def __init__(self, queue: Queue, *, is_full: bool = False) -> None:
        self.queue = queue
        self.pulls = 0
        self.in_flight = 0
        self.done = False
        self.resume_at = 0.0
        self.failures = 0
        self.is_full = is_full
        self._not_executed = 0
        self._in_doubt = 0

    def wants(self, now: float) -> bool:
        """Return whether one more pull may go out: several together only while answers come back full."""
        return not self.done and now >= self.resume_at and (self.is_full or self.in_flight == 0)

    def pull_begins(self) -> None:
        """Note that one more pull is in flight."""
        self.pulls += 1
        self.in_flight += 1

    def abandoned(self) -> None:
        """Note that a pull was not made after all."""
        self.in_flight -= 1

    def answered(self, records: int) -> None:
        """Note how many records a pull handed out; none means that the queue is empty."""
        self.in_flight -= 1
        self._not_executed = self._in_doubt = 0
        self.done = self.done or not records
        self.is_full = records >= self.queue.limit

    def failed(self, error: PullError, failures_before: int) -> bool:
        """Note that a pull failed: the next one waits, or, when this returns True, there is none.

        Pulls that were in flight together fail together: they count as one failure in a row. When the API
        refuses pulls for their rate, and answers others, then a lower rate is all that is needed.
        """
        self.in_flight -= 1
        is_next = self.failures == failures_before
        if is_next:
            self.failures += 1
            self._not_executed += isinstance(error, NotExecutedError)
            self._in_doubt += isinstance(error, InDoubtError)
        in_a_row = self._not_executed + self._in_doubt
        if not (error.is_for_rate and in_a_row <= 1):
            self.is_full = False
            if is_next:
                self.resume_at = time.monotonic() + backoff(in_a_row)
        is_refused = not isinstance(error, (NotExecutedError, InDoubtError))
        is_last = is_refused or self._not_executed >= MAX_NOT_EXECUTED or self._in_doubt >= MAX_IN_DOUBT
        self.done = self.done or is_last
        return is_last


def queues_of(options: SmsSourceConfiguration, backlog: Collection[Queue] = ()) -> list[QueueState]:
    """Return the queues that the options name; of those in the backlog it is known that more waits."""
    queues = [
        Queue(feed, app_id, options.api_region, options.pull_limit)
        for feed in feeds_of(options.pull_feeds)
        for app_id in options.sms_sdk_app_ids
    ]
    return [QueueState(queue, is_full=queue in backlog) for queue in queues]


def backoff(failures: int) -> float:
    """Return seconds to wait after so many failures in a row: doubling, with jitter."""
    pause: float = min(BACKOFF_SECONDS * 2 ** (failures - 1), LONGEST_BACKOFF_SECONDS)
    return pause * random.uniform(0.5, 1.0)
