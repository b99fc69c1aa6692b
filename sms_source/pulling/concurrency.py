"""How many pulls are worth having in flight at once."""

import math
import threading
from collections import deque

SHARE = 0.5
"""Of one core, what pulling is to take at most. Python runs one thread at a time, and dlt needs it too."""

RECENT_PULLS = 32
"""Pulls whose median counts: while dlt computes, a few take long, and wait for the interpreter alone."""


HEADROOM = 2.0
"""Times the pulls in flight that the rate needs: while dlt computes, most take longer than the usual one."""


class Concurrency:
    """As many pulls side by side as the waiting of one leaves room for, and no more than the rate needs.

    A pull over a network waits for nearly all of its time, for the API and for a journal that is elsewhere,
    and then as many are in flight as keep up the rate: what a process that is killed leaves in doubt is no
    more than that. Beside a server without latency, threads would wait for each other alone, and pay for it:
    16 of them take 1.3 to 1.6 times the CPU of one, to pull no faster (measured). Drains that follow one
    another share one: the next begins while the last pulls of this one are in flight.

    changed: guards all that these drains count, and tells those of their threads that wait of a change.
    limit: so many pulls may be in flight.
    in_flight: so many are.

    Args:
        maximum: the largest number of pulls in flight.
        per_second: pulls a second that the rate allows.
    """

    def __init__(self, maximum: int, per_second: float = math.inf) -> None:
        self.maximum = maximum
        self._per_second = per_second
        self.limit = 1
        self.in_flight = 0
        self.changed = threading.Condition()
        self._pulls: deque[tuple[float, float]] = deque(maxlen=RECENT_PULLS)

    @property
    def has_room(self) -> bool:
        """Whether one more pull may be in flight."""
        return self.in_flight < self.limit

    def begin_pull(self) -> None:
        """Note that one more pull is in flight."""
        with self.changed:
            self.in_flight += 1

    def end_pull(self) -> None:
        """Note that a pull is not in flight any more, whatever became of it."""
        with self.changed:
            self.in_flight -= 1

    def add(self, seconds: float, cpu_seconds: float) -> None:
        """Note how long a pull took that was answered, once it had its permit, and its thread's CPU."""
        with self.changed:
            self._pulls.append((seconds, cpu_seconds))
            usual, usual_cpu = sorted(self._pulls)[(len(self._pulls) - 1) // 2]
            worthwhile = SHARE * usual / max(usual_cpu, 1e-6)
            needed = HEADROOM * self._per_second * max(usual, 1e-6)
            self.limit = round(max(1, min(worthwhile, needed, self.maximum)))
