"""How many pulls are in flight at once, with a server of the test's own."""

from hypothesis import given
from hypothesis import strategies as st

from sms_source.pulling.concurrency import RECENT_PULLS, Concurrency

CPU = 0.001


def limit_after(concurrency: Concurrency, latency: float, pulls: int = 1000) -> int:
    """How many are in flight when so many pulls were made of a server that answers after this latency.

    The threads that read the answers run one at a time: those in flight wait for each other as well.
    """
    for _ in range(pulls):
        concurrency.add(max(latency + CPU, concurrency.limit * CPU), CPU)
    return concurrency.limit


def test_over_a_network_all_that_may_be_are_in_flight() -> None:
    """From the first answer on, so that a backlog is drained at the account's rate at once."""
    concurrency = Concurrency(16)
    assert concurrency.limit == 1
    assert limit_after(concurrency, 0.05, pulls=1) == 16
    assert limit_after(concurrency, 0.05) == 16


def test_beside_a_server_without_latency_one_is() -> None:
    """More threads would only wait for each other."""
    assert limit_after(Concurrency(16), 0.0) == 1


def test_pulling_leaves_the_interpreter_to_others() -> None:
    """With a short latency, as many are in flight as take their share of a core."""
    assert limit_after(Concurrency(16), 0.015) == 8


def test_a_server_whose_latency_changes_gets_more_or_fewer_at_once() -> None:
    """What was right for a server that is near is not right for one that is far."""
    concurrency = Concurrency(16)
    for latency, limit in ((0.0, 1), (0.2, 16), (0.0, 1)):
        assert limit_after(concurrency, latency) == limit


def test_pulls_that_waited_for_the_interpreter_alone_change_nothing() -> None:
    """While dlt computes, threads stand still; more of them would stand still as well."""
    concurrency = Concurrency(16)
    limit_after(concurrency, 0.0)
    for _ in range(RECENT_PULLS // 2 - 1):
        concurrency.add(0.1, CPU)
    assert concurrency.limit == 1


def test_no_more_are_in_flight_than_the_rate_needs() -> None:
    """A killed process leaves them in doubt: at 100 a second, twice as many as are due in a round trip."""
    assert limit_after(Concurrency(64, per_second=100), 0.05) == 10
    assert limit_after(Concurrency(64, per_second=100), 0.3) == 60
    assert limit_after(Concurrency(16, per_second=100), 0.3) == 16


@given(st.integers(1, 256), st.lists(st.tuples(st.floats(0, 60), st.floats(0, 60)), max_size=50))
def test_at_least_one_and_at_most_the_workers(maximum: int, pulls: list[tuple[float, float]]) -> None:
    """Whatever the clocks say: one may stand still, or tell a thread's time in steps."""
    concurrency = Concurrency(maximum)
    for seconds, cpu_seconds in pulls:
        concurrency.add(seconds, cpu_seconds)
        assert 1 <= concurrency.limit <= maximum
