"""Which requests are to fail, and how."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from .actions import ACTIONS, Action
from .faults import Fault, to_fault

_Faults = deque[Fault | None]


class FaultPlan:
    """Faults to come: those planned one by one, and then those of a stream that has no end.

    None is a request that goes well. A plan or a stream is for one action, or for the pulls of any queue: a
    look-up fails only where its action is named. The methods that plan are commands of the control API.
    """

    def __init__(self) -> None:
        self.clear_faults()

    def next(self, action: Action) -> Fault | None:
        """Return the fault of the next request, whatever its application."""
        return self._faults(action)[0]

    def take(self, action: Action, app_id: str | None = None) -> Fault | None:
        """Take the fault for a request: that of its application, if one is planned, or the next."""
        return self._faults(action, app_id).popleft()

    def count(self) -> int:
        """Return how many planned faults wait for their request."""
        return sum(fault is not None for plan in self._planned.values() for fault in plan)

    def fail_next(
        self,
        fault: Any,
        times: int = 1,
        after: int = 0,
        app_id: str | None = None,
        action: str | None = None,
        **options: Any,
    ) -> None:
        """Plan a fault for some requests in a row, once others have gone well."""
        planned = [None] * after + [to_fault(fault, **options)] * times
        self._planned[_known(action), app_id].extend(planned)

    def fail_repeatedly(self, faults: Iterable[Any], action: str | None = None) -> None:
        """Have the stream repeat these."""
        circle = [to_fault(fault) if fault else None for fault in faults] or [None]
        self._streams[_known(action)] = itertools.cycle(circle)
        self._drawn.pop(action, None)

    def fail_randomly(self, mix: Sequence[tuple[Any, float]], seed: int, action: str | None = None) -> None:
        """Have the stream draw from faults with probabilities."""
        weights = [probability for _, probability in mix]
        if sum(weights) > 1 or any(weight < 0 for weight in weights):
            raise ValueError("the probabilities are 0 or more and at most 1 together")
        faults = [*(to_fault(fault) for fault, _ in mix), None]
        bounds = [*itertools.accumulate(weights), 1.0]
        generator = random.Random(seed)
        draws = (generator.choices(faults, cum_weights=bounds)[0] for _ in itertools.count())
        self._streams[_known(action)] = draws
        self._drawn.pop(action, None)

    def clear_faults(self) -> None:
        """Forget all faults to come."""
        self._planned: dict[tuple[str | None, str | None], _Faults] = defaultdict(deque)
        self._streams: dict[str | None, Iterator[Fault | None]] = {}
        self._drawn: dict[str | None, _Faults] = defaultdict(deque)

    def _faults(self, action: Action, app_id: str | None = None) -> _Faults:
        """Return faults for such a request, its own first: those planned, else one drawn from a stream."""
        names = [action.name] if action.is_look_up else [action.name, None]
        for app in [app_id, None] if app_id else [None]:
            for name in names:
                if planned := self._planned.get((name, app)):
                    return planned
        for name in names:
            if name in self._streams:
                drawn = self._drawn[name]
                if not drawn:
                    drawn.append(next(self._streams[name]))
                return drawn
        return deque([None])


def _known(action: str | None) -> str | None:
    if action is not None and action not in ACTIONS:
        raise ValueError(f"no action {action!r}: it is one of {', '.join(ACTIONS)}")
    return action
