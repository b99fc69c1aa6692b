"""The account's rate: never more than so many requests in any second, whoever asks for them.

Another program may use the same quota, so that the API refuses requests all the same: then it is gone halfway
with, and the full rate is tried again step by step.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from sms_source.settings import MAX_PULLS_PER_SECOND

logger = logging.getLogger(__name__)

GUARD_SECONDS = 0.02
"""Added to the second, for what a request's way to the server may take longer than another's."""

RAISED_AFTER_SECONDS = 2.0
"""After a refusal, and after each step back to the full rate, until the next step of a request a second."""

RECENT_PERMITS = 16
"""Of which the quickest tells how far ahead permits are given."""

SPREAD = 0.8
"""Of a second, over which its requests are spread: of a burst, a machine that dies would lose more."""


_lock = threading.Lock()
_limiters: dict[tuple[str, str], "RateLimiter"] = {}


class RateLimiter:
    """Lets at most `per_second` requests go in any second; shared by the threads of a process.

    A permit counts from when it is used, not from when it was given: in between, an intent is written through
    to the disk, which takes now a millisecond, now a hundred. So permits are given ahead, by as much as the
    quickest of the last ones took, and whoever comes too early with one waits.

    Args:
        per_second: requests a second.
        clock: returns seconds that never go back.
        sleep: waits for some seconds.
    """

    def __init__(
        self,
        per_second: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._maximum = self._per_second = per_second
        self._raise_at = 0.0
        self._sent: deque[float] = deque(maxlen=per_second)
        self._unused: deque[float] = deque()
        self._preparations: deque[float] = deque([0.0], maxlen=RECENT_PERMITS)
        self._next = clock()
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    def acquire(self, is_over: Callable[[], bool]) -> bool:
        """Wait for a permit to send one request; return False, without one, once `is_over()` says so."""
        with self._turn:  # one thread waits for the permit, the others for their turn
            while not is_over():
                with self._lock:
                    now = self._clock()
                    if self._per_second < self._maximum and now >= self._raise_at:
                        self._per_second += 1
                        self._raise_at = now + RAISED_AFTER_SECONDS
                    ahead = min(self._preparations)
                    pause = max(self._next - now, self._pause(now + ahead, len(self._unused)))
                    if pause <= 0:
                        self._unused.append(now)
                        self._next = now + SPREAD / self._per_second
                        return True
                self._sleep(min(pause, 0.2))
        return False

    def limit_to(self, per_second: int) -> None:
        """Have another rate from now on; what was sent counts for it, too."""
        with self._lock:
            if per_second != self._maximum:
                self._maximum = self._per_second = per_second
                self._sent = deque(self._sent, maxlen=per_second)

    def use(self) -> None:
        """Wait until a request may go out, and note that it goes out now, or never will."""
        with self._lock:
            # Whichever permit it is: those given at about the same time take about as long.
            self._preparations.append(self._clock() - self._unused[0])
        try:
            while (pause := self._try_to_send()) > 0:
                self._sleep(pause)
        finally:  # also when Ctrl-C ends the waiting
            with self._lock:
                self._unused.popleft()

    def slow_down(self) -> None:
        """Note that the API refused a request for its rate: go at half of it for now."""
        with self._lock:
            now = self._clock()
            if (
                now >= self._raise_at - RAISED_AFTER_SECONDS / 2
            ):  # those in flight together are refused together
                self._per_second = max(1, self._per_second // 2)
                self._raise_at = now + RAISED_AFTER_SECONDS

    def _try_to_send(self) -> float:
        """Note that a request goes out, if one may; return the seconds to wait otherwise."""
        with self._lock:
            now = self._clock()
            pause = self._pause(now, 0)
            if pause <= 0:
                self._sent.append(now)
            return pause

    def _pause(self, moment: float, unused: int) -> float:
        """Return the seconds until one more than those sent, and so many unused, is no more than the rate."""
        # How many of the requests sent must be more than a second ago, the oldest first.
        surplus = len(self._sent) + unused + 1 - self._per_second
        if surplus <= 0:
            return 0.0
        if surplus > len(self._sent):
            return 0.005  # all that may go are about to
        return self._sent[surplus - 1] + 1 + GUARD_SECONDS - moment


def rate_of(secret_id: str, action: str, per_second: int) -> RateLimiter:
    """Return the one limiter of this process for an account's action, as the quota is by both.

    Its rate is the one that was asked for last.
    """
    if per_second > MAX_PULLS_PER_SECOND:
        logger.warning(
            "pulls_per_second is %d; the API refuses more than %d unless your account's quota was raised.",
            per_second,
            MAX_PULLS_PER_SECOND,
        )
    with _lock:
        limiter = _limiters.setdefault((secret_id, action), RateLimiter(per_second))
    limiter.limit_to(per_second)
    return limiter
