"""Rounds one after the other: what ends them, what goes on all the same, and what each is told of pushes.

The loader is a script of what its rounds come to; inbox, server, monitor and journal are the real ones. How a
process that follows is stopped by a signal is in test_signals.py.
"""

import asyncio
import threading
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from sms_source.api.catalogue import error_for
from sms_source.cli import follow as module
from sms_source.cli.follow import LONGEST_ROUND, LONGEST_ROUND_RECEIVING, Follower
from sms_source.cli.output import TextOutput
from sms_source.errors import ConfigurationError, JournalLockedError
from sms_source.feeds import REPLIES
from sms_source.journal.identity import Owner
from sms_source.journal.journal import Journal
from sms_source.loading.summary import Summary
from sms_source.pulling.report import DrainReport
from sms_source.receiving.inbox import Inbox
from sms_source.receiving.monitor import Monitor
from sms_source.receiving.server import Server
from tests.conftest import APP

WELL = None
REFUSED = error_for("AuthFailure.SignatureFailure", "x")
AWAY = RuntimeError("the destination is away")


class Rounds:
    """A loader whose rounds come to what the script says; after the last of them, it is to stop.

    Args:
        script: an error to raise, or None for a round that ends well.
        stop: is set with the last one.
    """

    def __init__(self, *script: Exception | None, stop: threading.Event) -> None:
        self._script = list(script)
        self._stop = stop
        self.asked: list[tuple[float, Collection[str]]] = []

    def round(self, *, stop: threading.Event, longest: float, being_written: Collection[str]) -> Summary:
        """Do what comes next."""
        assert stop is self._stop
        self.asked.append((longest, being_written))
        error = self._script.pop(0) if self._script else WELL
        if not self._script:
            self._stop.set()
        if isinstance(error, type(REFUSED)):  # what ends a drain is in the report
            return Summary(Owner("p", "duckdb", "sms"), [DrainReport(failures=[error])])
        if error is not None:
            raise error
        return Summary(Owner("p", "duckdb", "sms"), [DrainReport(requests=1, drained=True)])

    def waiting(self, being_written: Collection[str]) -> int:
        """Return how many drains wait."""
        return len(being_written)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a round that failed be followed at once."""
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.0)


@pytest.fixture
def stop() -> threading.Event:
    """Provide what ends it."""
    return threading.Event()


@pytest.fixture
def inbox(journal: Journal) -> Iterator[Inbox]:
    """Provide an inbox with nothing in it."""
    with Inbox(journal) as inbox:
        yield inbox


def follower(rounds: Rounds, stop: threading.Event) -> Follower:
    """Return what follows, without callbacks."""
    loader: Any = rounds
    return Follower(loader, 0.0, TextOutput(verbose=False), stop)


def receiving(stack: ExitStack, rounds: Rounds, stop: threading.Event, inbox: Inbox) -> Follower:
    """Return what follows and receives, with a server of nothing."""
    found = follower(rounds, stop)
    found.inbox = inbox
    found.monitor = Monitor(0.0)
    found.server = stack.enter_context(Server(found.monitor, "127.0.0.1", 0))
    return found


def health(monitor: Monitor | None) -> str:
    """Return what a monitor says is wrong; empty when nothing is."""
    assert monitor is not None
    return monitor.problem()


def metric(monitor: Monitor | None, name: str) -> float:
    """Return one of the numbers that a monitor serves."""
    assert monitor is not None
    sent: list[dict[str, Any]] = []

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    async def receive() -> dict[str, Any]:
        return {}

    asyncio.run(monitor({"method": "GET", "path": "/metrics"}, receive, send))
    lines = sent[1]["body"].decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


# ------------------------------------------------------------------------------------------ without callbacks


def test_rounds_follow_each_other_until_it_is_to_stop(
    stop: threading.Event, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each may go on for a minute, and quiet ones say nothing."""
    rounds = Rounds(WELL, WELL, WELL, stop=stop)
    follower(rounds, stop).run()
    assert rounds.asked == [(LONGEST_ROUND, ())] * 3
    assert capsys.readouterr() == ("", "")


def test_it_does_nothing_when_it_is_to_stop_before_it_began(stop: threading.Event) -> None:
    """A signal while it was set up."""
    rounds = Rounds(stop=stop)
    stop.set()
    follower(rounds, stop).run()
    assert rounds.asked == []


@pytest.mark.parametrize("error", [AWAY, REFUSED, ConfigurationError("x")])
def test_without_callbacks_a_round_that_fails_is_the_last(stop: threading.Event, error: Exception) -> None:
    """Whoever supervises the process starts a new one; also when the error is one of a queue's drain."""
    rounds = Rounds(WELL, error, WELL, stop=stop)
    followed = follower(rounds, stop)
    followed.monitor = Monitor(0.0)
    with pytest.raises(type(error)) as caught:
        followed.run()
    assert caught.value is error
    assert len(rounds.asked) == 2
    assert str(error) in health(followed.monitor)


def test_a_run_that_somebody_begins_by_hand_does_not_end_it(stop: threading.Event) -> None:
    """The journal is in use for a while: it is told, and tried again."""
    rounds = Rounds(WELL, JournalLockedError("x"), WELL, stop=stop)
    follower(rounds, stop).run()
    assert len(rounds.asked) == 3


def test_a_journal_that_is_in_use_from_the_start_ends_it(stop: threading.Event) -> None:
    """Two that follow one journal are a mistake."""
    rounds = Rounds(JournalLockedError("x"), WELL, stop=stop)
    with pytest.raises(JournalLockedError):
        follower(rounds, stop).run()
    assert len(rounds.asked) == 1


# --------------------------------------------------------------------------------------------- with callbacks


def test_with_callbacks_it_goes_on_whatever_is_wrong(
    stop: threading.Event, inbox: Inbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """A process that is away would lose what is pushed: errors are told, and the monitor has the last one."""
    rounds = Rounds(AWAY, WELL, REFUSED, AWAY, stop=stop)
    with ExitStack() as stack:
        followed = receiving(stack, rounds, stop, inbox)
        followed.run()
    told = capsys.readouterr().err.splitlines()
    assert [line.startswith("ERROR: ") for line in told] == [True] * 3
    assert "SignatureFailure" in told[1]
    assert metric(followed.monitor, "sms_failed_rounds_total") == 3
    assert len(rounds.asked) == 5  # the last one loads what was pushed by the end
    assert health(followed.monitor) == ""


@pytest.mark.parametrize("error", [REFUSED, ConfigurationError("x")])
def test_a_configuration_that_was_wrong_from_the_start_ends_it(
    stop: threading.Event, inbox: Inbox, error: Exception
) -> None:
    """Somebody is there who set it up; later, what was right may be so again by itself."""
    rounds = Rounds(error, WELL, stop=stop)
    with ExitStack() as stack, pytest.raises(type(error)):
        receiving(stack, rounds, stop, inbox).run()
    assert len(rounds.asked) == 1


def test_a_journal_that_is_another_s_ends_it_at_any_time(stop: threading.Event, inbox: Inbox) -> None:
    """What is pushed would go where another process writes."""
    rounds = Rounds(WELL, JournalLockedError("x"), WELL, stop=stop)
    with ExitStack() as stack, pytest.raises(JournalLockedError):
        receiving(stack, rounds, stop, inbox).run()
    assert len(rounds.asked) == 2


def test_a_server_that_has_ended_ends_it(stop: threading.Event, inbox: Inbox) -> None:
    """Nothing would be received any more, and nobody would know."""
    rounds = Rounds(WELL, WELL, stop=stop)
    with ExitStack() as stack:
        followed = receiving(stack, rounds, stop, inbox)
        followed._interval = 3_600.0
        assert followed.server is not None
        followed.server.stop()
        with pytest.raises(RuntimeError, match="The server of the callbacks has ended"):
            followed.run()
    assert len(rounds.asked) == 1


def test_an_inbox_that_writes_no_more_ends_it(stop: threading.Event, inbox: Inbox) -> None:
    """Each push would wait for its answer in vain."""
    rounds = Rounds(WELL, WELL, stop=stop)
    with ExitStack() as stack:
        followed = receiving(stack, rounds, stop, inbox)
        followed._interval = 3_600.0
        inbox.close()
        with pytest.raises(RuntimeError, match="The writing of callbacks into the journal has ended"):
            followed.run()
    assert len(rounds.asked) == 1


def test_each_round_leaves_alone_what_is_being_pushed_and_the_last_has_all(
    stop: threading.Event, inbox: Inbox
) -> None:
    """What was pushed before a round is in a drain that is over, for the round to load; each has its own."""
    rounds = Rounds(WELL, WELL, stop=stop)
    with ExitStack() as stack:
        followed = receiving(stack, rounds, stop, inbox)
        first = inbox.drain_id
        inbox.keep(REPLIES, APP, b"{}", 1).result()
        followed.run()
    assert inbox.waiting == 0
    assert [longest for longest, _ in rounds.asked] == [LONGEST_ROUND_RECEIVING] * 3
    written = {drain_id for _, drains in rounds.asked for drain_id in drains}
    assert inbox.drain_id in written
    assert first not in written
    assert len(written) == len(rounds.asked)
    assert metric(followed.monitor, "sms_journal_waiting") == 1


def test_a_weekend_of_failures_ends_nothing(stop: threading.Event) -> None:
    """The pause grows to its limit and stays there; a number of failures is no exponent to be had."""
    follower = Follower(Rounds(stop=stop), 0, TextOutput(verbose=False), stop)  # type: ignore[arg-type] # a script
    follower._failures = 5_000
    assert follower._pause() == module.LONGEST_PAUSE
