"""The account's rate: never more than so many requests in any second, whoever asks for them.

The API may refuse requests all the same: another program uses the same quota, or the network held some back
and they arrived with later ones. Each refusal lowers the rate by one a second, so that one alone costs next
to nothing, and many leave the quota to the other program; then it rises again, in ever larger steps.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from sms_source.settings import MAX_PULLS_PER_SECOND

logger = logging.getLogger(__name__)

GUARD_SECONDS = 0.01
"""Added to the second, for what a request's way to the server may take longer than another's."""

RAISED_AFTER_SECONDS = 2.0
"""After a refusal, and after each step up, until the next step up; each is twice as large as the last one."""

RECENT_PERMITS = 16
"""Of which the quickest tells how far ahead permits are given."""

SPREAD = 0.8
"""Of a second, over which its requests are spread: of a burst, a machine that dies would lose more."""


_lock = threading.Lock()
_limiters: dict[tuple[str, str], "RateLimiter"] = {}


class RateLimiter:
    """Lets at most `per_second` requests go in any second; shared by the threads of a process.

    A permit counts from when it is used, not from when it was given: in between, an intent is written through
    to the disk, which takes now a millisecond, now a hundred, and a connection may be made. So permits are
    given ahead, by as much as the quickest of the last ones took, and whoever comes too early with one waits.

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
        self._step = 1
        self._sent: deque[float] = deque(maxlen=per_second)
        self._unused = 0
        self._preparations: deque[float] = deque([0.0], maxlen=RECENT_PERMITS)
        self._next = clock()
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    def acquire(self, is_over: Callable[[], bool]) -> "Permit | None":
        """Wait for a permit to send one request; return None once `is_over()` says so."""
        with self._turn:  # one thread waits for the permit, the others for their turn
            while not is_over():
                with self._lock:
                    now = self._clock()
                    if self._per_second < self._maximum and now >= self._raise_at:
                        self._per_second = min(self._per_second + self._step, self._maximum)
                        self._step *= 2
                        self._raise_at = now + RAISED_AFTER_SECONDS
                    ahead = min(self._preparations)
                    pause = max(self._next - now, self._pause(now + ahead, self._unused))
                    if pause <= 0:
                        self._unused += 1
                        self._next = now + SPREAD / self._per_second
                        return Permit(self, now)
                self._sleep(min(pause, 0.2))
        return None

    def limit_to(self, per_second: int) -> None:
        """Have another rate from now on; what was sent counts for it, too."""
        with self._lock:
            if per_second != self._maximum:
                self._maximum = self._per_second = per_second
                self._sent = deque(self._sent, maxlen=per_second)

    def slow_down(self) -> None:
        """Note that the API refused a request for its rate: one a second less for now."""
        with self._lock:
            self._per_second = max(1, self._per_second - 1)
            self._step = 1
            self._raise_at = self._clock() + RAISED_AFTER_SECONDS

    def send(self, given_at: float) -> None:
        """Wait until the request of a permit may go out, and note that it goes out now. For `Permit`."""
        with self._lock:
            self._preparations.append(self._clock() - given_at)
        while (pause := self._try_to_send()) > 0:
            self._sleep(pause)

    def take_back(self) -> None:
        """Have one permit less on its way to be used. For `Permit`."""
        with self._lock:
            self._unused -= 1

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


class Permit:
    """Leave to send one request, for one thread: to be used when it goes out, or given back.

    As a context it is given back at the end, unless it was used.

    Args:
        limiter: that gave it.
        given_at: when, by the limiter's clock.
    """

    def __init__(self, limiter: RateLimiter, given_at: float) -> None:
        self._limiter = limiter
        self._given_at = given_at
        self._is_open = True

    def __enter__(self) -> "Permit":
        return self

    def __exit__(self, *_: object) -> None:
        self.give_back()

    def use(self) -> None:
        """Wait until the request may go out: it counts from now on."""
        try:
            self._limiter.send(self._given_at)
        finally:  # also when Ctrl-C ends the waiting
            self.give_back()

    def give_back(self) -> None:
        """Let go of it, if it was not used: no request went out, and none will."""
        if self._is_open:
            self._is_open = False
            self._limiter.take_back()


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
