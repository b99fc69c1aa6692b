"""How many pulls are worth having in flight at once."""

import threading
import time
from collections.abc import Callable

SHARE = 0.4
"""Of one core, what pulling is to take at most. Python runs one thread at a time, and dlt needs it too."""

SECONDS = 0.1
"""Between two changes of the width: longer than pulling stands still while a table is made for dlt."""


class FanOut:
    """As many pulls side by side as the waiting of one leaves room for.

    A pull over a network waits for nearly all of its time, and then all that may be in flight are. Beside a
    server without latency, threads would wait for each other alone, and pay for it: 16 of them take 1.6
    times the CPU of one, to pull no faster (measured).

    Args:
        most: pulls in flight at most.
        clock: returns seconds that never go back.
    """

    def __init__(self, most: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.width = 1
        self._most = most
        self._clock = clock
        self._began = self._due = clock()
        self._cpu_seconds = 0.0
        self._pulls = 0
        self._lock = threading.Lock()

    def add(self, cpu_seconds: float) -> None:
        """Notes what a pull took of its thread's CPU, and widens or narrows when enough is known.

        A first pull alone says little, as it opens the connection.
        """
        with self._lock:
            self._cpu_seconds += cpu_seconds
            self._pulls += 1
            now = self._clock()
            if now < self._due or self._pulls < 2:
                return
            seconds = max(now - self._began, 1e-6)
            share = max(self._cpu_seconds / seconds, 1e-6)
            self.width = max(1, min(round(self.width * SHARE / share), self._most))
            self._began, self._due = now, now + SECONDS
            self._cpu_seconds, self._pulls = 0.0, 0
