"""The account's rate, with a clock of the test's own."""

from collections import deque
from collections.abc import Callable
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from sms_source.pulling.rate import Permit, RateLimiter, rate_of


class Clock:
    """Time that passes only by sleeping, and by what the test lets pass; then, what is due is done."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: deque[tuple[float, Callable[[], None]]] = deque()

    def read(self) -> float:
        """Seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Lets time pass."""
        end = self.now + seconds
        while self._due and self._due[0][0] <= end:
            moment, do = self._due.popleft()
            self.now = max(self.now, moment)
            do()
        self.now = max(self.now, end)

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        """Do something later, and what was to be done before first."""
        self._due.append((self.now + seconds, do))


def permit_of(limiter: RateLimiter) -> Permit:
    """Return a permit, once there is one."""
    permit = limiter.acquire(lambda: False)
    assert permit is not None
    return permit


@given(st.integers(1, 20), st.lists(st.tuples(st.floats(0, 0.5), st.floats(0, 0.2)), max_size=200))
def test_no_second_sees_more_than_the_rate(per_second: int, pauses: list[tuple[float, float]]) -> None:
    """Whenever requests are asked for, and however long each takes from its permit to the wire."""
    clock = Clock()
    limiter = RateLimiter(per_second, clock=clock.read, sleep=clock.sleep)
    sent = []
    for pause, preparation in pauses:
        clock.sleep(pause)
        permit = permit_of(limiter)
        clock.sleep(preparation)
        permit.use()
        sent.append(clock.now)
    assert all(later - earlier > 1 for earlier, later in zip(sent, sent[per_second:], strict=False))


def test_a_permit_that_is_not_used_yet_is_given_to_nobody_else() -> None:
    """A slow disk holds requests back, which then go out at once: no more than the rate, even so."""
    clock = Clock()
    limiter = RateLimiter(3, clock=clock.read, sleep=clock.sleep)
    permits = [permit_of(limiter) for _ in range(3)]
    assert not limiter.acquire(lambda: clock.now > 2)
    late = clock.now
    for permit in permits:
        permit.use()
    permit_of(limiter)
    assert clock.now > late + 1


def test_a_permit_that_is_given_back_counts_for_nothing() -> None:
    """Its request was not sent, and never will be; given back or used twice, it is one permit."""
    clock = Clock()
    limiter = RateLimiter(3, clock=clock.read, sleep=clock.sleep)
    for _ in range(10):
        permit = permit_of(limiter)
        permit.give_back()
        permit.give_back()
    began = clock.now
    for _ in range(3):
        permit = permit_of(limiter)
        permit.use()
        permit.give_back()
    assert clock.now < began + 1
    permit_of(limiter).use()
    assert clock.now > began + 1


def test_the_rate_is_used() -> None:
    """A backlog is drained at 98 hundredths of the ceiling."""
    clock = Clock()
    limiter = RateLimiter(100, clock=clock.read, sleep=clock.sleep)
    for _ in range(10_000):
        permit_of(limiter).use()
    assert 10_000 / clock.now >= 98


def test_the_rate_is_used_however_long_an_intent_takes() -> None:
    """With the journal in a store that is far away, many permits are on their way to be used."""
    clock = Clock()
    limiter = RateLimiter(100, clock=clock.read, sleep=clock.sleep)
    sent = []

    def send(permit: Permit) -> None:
        permit.use()
        sent.append(clock.now)

    for _ in range(10_000):
        clock.after(0.15, partial(send, permit_of(limiter)))
    assert len(sent) / clock.now >= 97
    assert all(later - earlier > 1 for earlier, later in zip(sent, sent[100:], strict=False))


def test_whoever_waits_is_let_go_when_it_is_over() -> None:
    """A stop does not wait for a permit to send a request that nobody wants any more."""
    clock = Clock()
    limiter = RateLimiter(1, clock=clock.read, sleep=clock.sleep)
    permit_of(limiter).use()
    assert not limiter.acquire(lambda: clock.now > 0.3)


def test_an_account_has_one_rate_for_an_action() -> None:
    """Two jobs of a process share the quota, whatever each was given; another account has its own."""
    first = rate_of("an id", "an action", 5)
    assert rate_of("an id", "an action", 3) is first
    assert rate_of("another id", "an action", 5) is not first
    assert rate_of("an id", "another action", 5) is not first


def test_a_rate_that_is_changed_counts_what_was_sent_before() -> None:
    """The rate that was asked for last holds at once."""
    clock = Clock()
    limiter = RateLimiter(2, clock=clock.read, sleep=clock.sleep)
    sent = []
    for per_second in (2, 20, 3):
        limiter.limit_to(per_second)
        for _ in range(20):
            permit_of(limiter).use()
            sent.append(clock.now)
        last = sent[-20 + per_second :]
        assert all(later - earlier > 1 for earlier, later in zip(last, last[per_second:], strict=False))


def sent_in(limiter: RateLimiter, clock: Clock, seconds: float) -> int:
    """Send what may be sent in so many seconds; return how many requests it was."""
    end, count = clock.now + seconds, 0
    while permit := limiter.acquire(lambda: clock.now >= end):
        permit.use()
        count += 1
    return count


def test_a_refusal_that_is_alone_costs_next_to_nothing() -> None:
    """On the way to the API one request is held back, and it arrives among the next second's."""
    clock = Clock()
    limiter = RateLimiter(100, clock=clock.read, sleep=clock.sleep)
    sent_in(limiter, clock, 5)
    limiter.slow_down()
    assert sent_in(limiter, clock, 2) >= 2 * 98 - 1
    assert sent_in(limiter, clock, 10) >= 10 * 98


def test_what_another_program_uses_of_the_quota_is_left_to_it() -> None:
    """Each refusal lowers the rate by one; after them it rises to what it was, in ever larger steps."""
    clock = Clock()
    limiter = RateLimiter(100, clock=clock.read, sleep=clock.sleep)
    for _ in range(60):
        limiter.slow_down()
    sent_in(limiter, clock, 1)
    assert sent_in(limiter, clock, 1) <= 41
    assert sent_in(limiter, clock, 4) <= 4 * 44
    sent_in(limiter, clock, 12)
    assert sent_in(limiter, clock, 10) >= 10 * 98


def test_one_request_a_second_is_always_tried() -> None:
    """However many were refused."""
    clock = Clock()
    limiter = RateLimiter(2, clock=clock.read, sleep=clock.sleep)
    for _ in range(9):
        limiter.slow_down()
    assert sent_in(limiter, clock, 1.9) >= 1
