"""The queue of one application, as a drain sees it: when to pull from it again, and when no more."""

import random
import time

from sms_source.errors import InDoubtError, NotExecutedError, PullError
from sms_source.settings import MAX_IN_DOUBT, MAX_NOT_EXECUTED

BACKOFF_SECONDS = 0.25
LONGEST_BACKOFF_SECONDS = 15.0


class ReplyQueue:
    """What came of the pulls from one queue; guarded by its drain's lock.

    pulls: begun so far.
    in_flight: of them, those on their way.
    done: whether it was seen empty, or failed too often: no more pulls.
    resume_at: no pull before this moment of the monotonic clock.
    failures: rises with each failure that counts; a pull that fails remembers what it was at its start.
    """

    def __init__(self, sms_sdk_app_id: str) -> None:
        self.sms_sdk_app_id = sms_sdk_app_id
        self.pulls = 0
        self.in_flight = 0
        self.done = False
        self.resume_at = 0.0
        self.failures = 0
        self._fanned_out = False
        self._not_executed = 0
        self._in_doubt = 0

    def wants(self, now: float) -> bool:
        """Whether one more pull may go out: several together only while answers come back full."""
        return not self.done and now >= self.resume_at and (self._fanned_out or self.in_flight == 0)

    def pull_begins(self) -> None:
        """One more pull is on its way."""
        self.pulls += 1
        self.in_flight += 1

    def answered(self, replies: int, limit: int) -> None:
        """A pull that could hand out `limit` replies handed out so many; none means that it is empty."""
        self.in_flight -= 1
        self._not_executed = self._in_doubt = 0
        self.done = self.done or not replies
        self._fanned_out = replies >= limit

    def failed(self, error: PullError, failures_before: int) -> bool:
        """A pull failed: the next one waits, or, when this says True, there is none.

        Pulls that were in flight together fail together: they count as one failure in a row.
        """
        self.in_flight -= 1
        self._fanned_out = False
        if self.failures == failures_before:
            self.failures += 1
            self._not_executed += isinstance(error, NotExecutedError)
            self._in_doubt += isinstance(error, InDoubtError)
            self.resume_at = time.monotonic() + _backoff(self._not_executed + self._in_doubt)
        is_refused = not isinstance(error, (NotExecutedError, InDoubtError))
        is_last = is_refused or self._not_executed >= MAX_NOT_EXECUTED or self._in_doubt >= MAX_IN_DOUBT
        self.done = self.done or is_last
        return is_last


def _backoff(failures: int) -> float:
    """Seconds to wait after so many failures in a row: doubling, with jitter."""
    pause: float = min(BACKOFF_SECONDS * 2 ** (failures - 1), LONGEST_BACKOFF_SECONDS)
    return pause * random.uniform(0.5, 1.0)
