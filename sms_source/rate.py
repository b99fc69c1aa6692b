"""The account's rate: never more than so many requests in any second, whoever asks for them."""

import threading
import time
from collections import deque
from collections.abc import Callable

GUARD_SECONDS = 0.04
"""Added to the second, for what a request's way to the server may take longer than another's."""


class RateLimiter:
    """Lets at most `per_second` requests go in any second; shared by the threads of a process.

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
        self._sent: deque[float] = deque(maxlen=per_second)
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()

    def acquire(self, is_over: Callable[[], bool]) -> bool:
        """Waits for leave to send one request; False, and no leave, once `is_over()` says so."""
        while not is_over():
            with self._lock:
                now = self._clock()
                full = len(self._sent) == self._sent.maxlen
                pause = self._sent[0] + 1 + GUARD_SECONDS - now if full else 0.0
                if pause <= 0:
                    self._sent.append(now)
                    return True
            self._sleep(min(pause, 0.2))
        return False
