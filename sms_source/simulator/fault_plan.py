"""Which pulls are to fail, and how."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from .records import Fault, to_fault


class FaultPlan:
    """Faults to come: those planned one by one, and then those of a stream that has no end.

    None is a pull that goes well. The methods that plan are commands of the control API.
    """

    def __init__(self) -> None:
        self.clear_faults()

    def next(self) -> Fault | None:
        """The next pull's fault, whatever its application."""
        return self._queue()[0]

    def take(self, app_id: str | None = None) -> Fault | None:
        """Takes the fault for a pull: that of its application, if one is planned, or the next."""
        return (self._planned[app_id] or self._queue()).popleft()

    def count(self) -> int:
        """How many planned faults wait for their pull."""
        return sum(fault is not None for plan in self._planned.values() for fault in plan)

    def fail_next(
        self, fault: Any, times: int = 1, after: int = 0, app_id: str | None = None, **options: Any
    ) -> None:
        """Plans a fault for some pulls in a row, once others have gone well."""
        planned = [None] * after + [to_fault(fault, **options)] * times
        self._planned[app_id].extend(planned)

    def fail_repeatedly(self, faults: Iterable[Any]) -> None:
        """Has the stream repeat these."""
        self._follow(itertools.cycle([to_fault(fault) if fault else None for fault in faults] or [None]))

    def fail_randomly(self, mix: Sequence[tuple[Any, float]], seed: int) -> None:
        """Has the stream draw from faults with probabilities."""
        weights = [probability for _, probability in mix]
        if sum(weights) > 1 or any(weight < 0 for weight in weights):
            raise ValueError("the probabilities are 0 or more and at most 1 together")
        faults, bounds = (
            [*(to_fault(fault) for fault, _ in mix), None],
            [*itertools.accumulate(weights), 1.0],
        )
        generator = random.Random(seed)
        self._follow(generator.choices(faults, cum_weights=bounds)[0] for _ in itertools.count())

    def clear_faults(self) -> None:
        """Forgets all faults to come."""
        self._planned: dict[str | None, deque[Fault | None]] = defaultdict(deque)
        self._follow(itertools.repeat(None))

    def _follow(self, stream: Iterator[Fault | None]) -> None:
        self._stream, self._drawn = stream, deque[Fault | None]()

    def _queue(self) -> deque[Fault | None]:
        """Faults of any application, the next one first: those planned, else one drawn from the stream."""
        if self._planned[None]:
            return self._planned[None]
        if not self._drawn:
            self._drawn.append(next(self._stream))
        return self._drawn
