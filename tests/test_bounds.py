"""How much one drain hands out: by records, bytes and time, with a clock of the test's own."""

import pytest

from sms_source import settings
from sms_source.pulling.bounds import Bounds


class Clock:
    """Seconds that pass when the test says so."""

    now = 100.0

    def __call__(self) -> float:
        """Return them."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Provide a clock that stands still."""
    return Clock()


def test_a_drain_without_an_answer_is_never_over(clock: Clock) -> None:
    """However long a queue is empty, or an answer takes: what has come is none."""
    bounds = Bounds(records=10, size=10, clock=clock)
    clock.now += 1_000
    assert not bounds.reached(100, is_backlog=False)


def test_a_pull_that_could_bring_too_many_records_is_not_begun(clock: Clock) -> None:
    """Those in flight count as if they came back full."""
    bounds = Bounds(records=300, size=1_000, clock=clock)
    bounds.add(100, 1)
    assert not bounds.reached(200, is_backlog=True)
    assert bounds.reached(201, is_backlog=True)


def test_bytes_end_a_drain_as_records_do(clock: Clock) -> None:
    """Long texts take memory, few as they may be."""
    bounds = Bounds(records=1_000, size=1_000, clock=clock)
    bounds.add(1, 999)
    assert not bounds.reached(1, is_backlog=True)
    bounds.add(0, 1)
    assert bounds.reached(1, is_backlog=True)


@pytest.mark.parametrize(
    ("is_backlog", "longest"), [(False, settings.TRICKLE_SECONDS), (True, settings.BACKLOG_SECONDS)]
)
def test_what_has_come_is_loaded_after_a_while(clock: Clock, longest: float, *, is_backlog: bool) -> None:
    """A trickle soon, as it may never end; a backlog later, as large packages are cheapest."""
    bounds = Bounds(records=10_000, size=1 << 30, clock=clock)
    bounds.add(1, 100)
    clock.now += longest - 0.001
    bounds.add(1, 100)  # a later answer does not begin anew
    assert not bounds.reached(1, is_backlog=is_backlog)
    clock.now += 0.001
    assert bounds.reached(1, is_backlog=is_backlog)
