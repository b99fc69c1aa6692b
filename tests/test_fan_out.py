"""How many pulls are in flight at once, with a server and a clock of the test's own."""

from hypothesis import given
from hypothesis import strategies as st

from sms_source.fan_out import SHARE, FanOut

CPU_SECONDS = 0.001


class Server:
    """Answers pulls side by side after a latency; the threads that read them run one at a time."""

    def __init__(self, latency: float, most: int) -> None:
        self.latency = latency
        self.now = 0.0
        self.fan_out = FanOut(most, clock=lambda: self.now)

    def pull(self, count: int) -> int:
        """Has so many pulls made; returns how many are in flight then."""
        for _ in range(count):
            in_turn = (self.latency + CPU_SECONDS) / self.fan_out.width
            self.now += max(CPU_SECONDS, in_turn)
            self.fan_out.add(CPU_SECONDS)
        return self.fan_out.width


def test_over_a_network_all_that_may_be_are_in_flight() -> None:
    """From the second pull on, so that a backlog is drained at the account's rate at once."""
    server = Server(latency=0.05, most=16)
    assert server.pull(1) == 1
    assert server.pull(1) == 16
    assert server.pull(1000) == 16


def test_beside_a_server_without_latency_one_is() -> None:
    """More threads would only wait for each other."""
    server = Server(latency=0.0, most=16)
    assert server.pull(1000) == 1


def test_pulling_leaves_the_interpreter_to_others() -> None:
    """With a short latency, as many are in flight as take their share of a core."""
    server = Server(latency=0.01, most=16)
    width = server.pull(1000)
    assert 1 < width < 16
    assert abs(width * CPU_SECONDS / (server.latency + CPU_SECONDS) - SHARE) < 0.1


def test_a_server_that_becomes_slower_gets_more_at_once() -> None:
    """What was right for a server that is near is not for ever."""
    server = Server(latency=0.0, most=16)
    server.pull(1000)
    server.latency = 0.2
    assert server.pull(100) == 16
    server.latency = 0.0
    assert server.pull(1000) == 1


@given(
    st.integers(1, 256),
    st.lists(st.tuples(st.floats(0, 60), st.floats(0, 60)), max_size=50),
)
def test_at_least_one_and_at_most_the_workers(most: int, pulls: list[tuple[float, float]]) -> None:
    """Whatever a clock says: one may stand still, or tell a thread's time in steps."""
    now = 0.0
    fan_out = FanOut(most, clock=lambda: now)
    for seconds, cpu_seconds in pulls:
        now += seconds
        fan_out.add(cpu_seconds)
        assert 1 <= fan_out.width <= most
