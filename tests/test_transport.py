"""How far a request has come, and how long it may take: told by the exchange that it has.

What a peer does to a request that is on its way is in test_deadline.py.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
import requests

from sms_source.api.transport import CURRENT, DeadlineAdapter, Exchange, Stage
from sms_source.settings import CONNECT_TIMEOUT
from tests.hostile import hostile_server, read_request

EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
LONG = 3_600.0


@pytest.fixture
def session() -> Iterator[requests.Session]:
    """Provide a session whose requests keep to their exchanges, and ask no proxy."""
    with requests.Session() as session:
        session.trust_env = False
        for scheme in ("http://", "https://"):
            session.mount(scheme, DeadlineAdapter())
        yield session


def send(session: requests.Session, url: str, seconds: float = LONG) -> tuple[Exchange, bool]:
    """Send a request; return its exchange, and whether it was answered."""
    exchange = Exchange(seconds)
    CURRENT.set(exchange)
    try:
        return exchange, session.post(url, b"x", timeout=LONG).ok
    except OSError:  # those of requests are such
        return exchange, False


def test_until_it_is_sent_a_request_may_take_no_longer_than_a_connection() -> None:
    """One that is not made has lost nothing, so giving up early is free; then the whole time counts."""
    exchange = Exchange(LONG)
    stages = [exchange.stage]
    assert 0 < exchange.left() <= CONNECT_TIMEOUT
    exchange.send()
    assert [*stages, exchange.stage] == [Stage.PREPARING, Stage.SENT]
    assert CONNECT_TIMEOUT < exchange.left() <= LONG


def test_a_request_whose_time_is_over_is_never_sent() -> None:
    """It is told before the first byte, and so is known to have taken nothing out of a queue."""
    exchange = Exchange(0)
    for wait in (exchange.left, exchange.send):
        with pytest.raises(TimeoutError, match="has taken its time"):
            wait()
    assert exchange.stage is Stage.PREPARING


def test_whoever_is_asked_before_sending_is_asked_when_all_else_is_done(session: requests.Session) -> None:
    """The connection stands and nothing has gone out: what is asked for may be leave to send it."""
    came: list[bytes] = []
    accepted, sent = threading.Event(), threading.Event()

    def serve(connection: socket.socket, over: threading.Event) -> None:
        accepted.set()
        came.append(read_request(connection))
        sent.set()
        connection.sendall(EMPTY)

    def ask() -> None:
        asked.append((accepted.wait(10), exchange.stage, sent.wait(0.2)))

    asked: list[tuple[bool, Stage, bool]] = []
    with hostile_server(serve) as port:
        exchange = Exchange(LONG, ask)
        CURRENT.set(exchange)
        assert session.post(f"http://127.0.0.1:{port}", b"x", timeout=LONG).ok
    assert asked == [(True, Stage.TLS, False)]
    assert (len(came), exchange.stage) == (1, Stage.SENT)


def test_what_is_waited_for_before_sending_is_not_counted() -> None:
    """A request that had to wait for the account's rate has all of its time for the answer."""
    exchange = Exchange(0.5, lambda: time.sleep(0.6))
    exchange.send()
    assert exchange.stage is Stage.SENT


def test_a_connection_that_stands_sends_the_next_request_at_once(session: requests.Session) -> None:
    """Each has an exchange of its own: neither the time nor the stage of the one before is its."""
    connections = []

    def serve(connection: socket.socket, over: threading.Event) -> None:
        connections.append(connection)
        while read_request(connection):
            connection.sendall(EMPTY)

    with hostile_server(serve) as port:
        for _ in range(3):
            exchange, answered = send(session, f"http://127.0.0.1:{port}")
            assert (exchange.stage, answered) == (Stage.SENT, True)
        session.close()
    assert len(connections) == 1


def test_on_a_connection_that_stands_a_request_that_is_late_sends_nothing(session: requests.Session) -> None:
    """Nothing else would say so: there is no connection to be made that could fail before."""
    seen: list[bytes] = []
    ended = threading.Event()

    def serve(connection: socket.socket, over: threading.Event) -> None:
        seen.append(read_request(connection))
        connection.sendall(EMPTY)
        seen.append(connection.recv(65_536))  # what comes next, or the end
        ended.set()

    with hostile_server(serve) as port:
        assert send(session, f"http://127.0.0.1:{port}")[1]
        exchange, answered = send(session, f"http://127.0.0.1:{port}", seconds=0)
        session.close()
        ended.wait()
    assert (exchange.stage, answered) == (Stage.PREPARING, False)
    assert seen[1:] == [b""]


@pytest.mark.parametrize("host", ["a" * 64, f"sms.{'b' * 300}.example"])
def test_a_name_that_can_be_none_is_not_resolved(session: requests.Session, host: str) -> None:
    """Python says so by an error that is none of the network's; nothing was sent all the same."""
    exchange, answered = send(session, f"http://{host}:1")
    assert (exchange.stage, answered) == (Stage.RESOLVING, False)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_where_nobody_listens_no_connection_is_made(session: requests.Session, scheme: str) -> None:
    """Whether it was to be a secure one or not."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    exchange, answered = send(session, f"{scheme}://127.0.0.1:{port}")
    assert (exchange.stage, answered) == (Stage.CONNECTING, False)


def test_a_peer_that_goes_away_before_it_answers_may_have_executed_the_request(
    session: requests.Session,
) -> None:
    """It has the request, and nobody can know what it did with it."""

    def serve(connection: socket.socket, over: threading.Event) -> None:
        read_request(connection)

    with hostile_server(serve) as port:
        exchange, answered = send(session, f"http://127.0.0.1:{port}")
    assert (exchange.stage, answered) == (Stage.SENT, False)


def test_the_exchanges_of_two_threads_do_not_meet(session: requests.Session) -> None:
    """Workers pull side by side, each with a deadline and a stage of its own."""
    mine = Exchange(LONG)
    CURRENT.set(mine)
    others: list[Exchange] = []

    def serve(connection: socket.socket, over: threading.Event) -> None:
        read_request(connection)
        connection.sendall(EMPTY)

    with hostile_server(serve) as port:
        thread = threading.Thread(target=lambda: others.append(send(session, f"http://127.0.0.1:{port}")[0]))
        thread.start()
        thread.join()
    assert (mine.stage, others[0].stage) == (Stage.PREPARING, Stage.SENT)
    assert CURRENT.get() is mine
