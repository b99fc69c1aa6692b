"""Signals: the first ends pulling and loads what there is, a second one ends the process."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator

import duckdb
import pytest

from sms_source.cli.signals import SAME_WISH_SECONDS, stop_on_signals
from sms_source.loading.rounds import Round
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Job, Warehouse, a_reply
from tests.helpers.jobs import start_job, wait_until


@pytest.fixture(autouse=True)
def no_nohup() -> Iterator[None]:
    """Start jobs as a terminal does, also where these tests run under `nohup`."""
    previous = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, previous)


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_pulling_and_loads_what_there_is(
    configured: SimulatorProcess, warehouse: Warehouse, number: signal.Signals
) -> None:
    """Pulls in flight are destructive, so they end by themselves; then comes the load, and a message."""
    configured.configure(latency=0.05)
    configured.enqueue(APP, [a_reply() for _ in range(50_000)])
    process = start_job()
    wait_until(lambda: configured.stats().pulls > 20)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"{number.name}: pulling ends" in err
    assert "Stopped by a signal before the queues were empty" in err
    assert warehouse.query("select count(*) from sms.replies") == [(configured.stats().handed_out,)]
    assert warehouse.query("select count(*) from sms.pulls where outcome <> 'answered'") == [(0,)]


@pytest.mark.long
def test_a_second_signal_stops_at_once_and_loses_nothing_journaled(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was in flight is in doubt, what had arrived is loaded by the next run."""
    configured.configure(latency=30.0)
    monkeypatch.setenv("SOURCES__SMS_SOURCE__PULL_TIMEOUT", "60")
    configured.enqueue(APP, [a_reply(str(n)) for n in range(500)])
    process = start_job()
    wait_until(lambda: configured.stats().pulls >= 1)
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    notice = process.stderr.readline()
    assert "SIGTERM: pulling ends" in notice
    assert "would lose up to " in notice
    while process.poll() is None:  # for a second, it is taken for the same wish
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
    assert process.returncode == -signal.SIGTERM
    configured.configure(latency=0.0)
    status, out, _ = job()
    assert status == 0
    delivered = {json.loads(one.reply)["ReplyContent"] for one in configured.handed_out() if one.delivered}
    assert set(warehouse.contents()) >= delivered
    at_risk = warehouse.query("select coalesce(sum(at_risk), 0) from sms.pulls")[0][0]
    assert 500 - len(warehouse.contents()) <= at_risk
    assert "in doubt" in out


@pytest.mark.long
def test_follow_keeps_draining_until_it_is_stopped(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """For opt-outs in near real time: one process, a drain each interval, an end on SIGTERM with status 0."""
    process = start_job("--follow", "0.1")
    for number in range(2):
        configured.enqueue(APP, [a_reply(str(number))])
        wait_until(lambda: configured.stats().queued.get(f"{APP}/ap-guangzhou", 0) == 0)
    threading.Timer(1.0, process.send_signal, [signal.SIGTERM]).start()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert warehouse.contents() == ["0", "1"]


@pytest.mark.long
def test_a_round_with_an_empty_queue_leaves_the_destination_alone_and_one_that_fails_ends_the_job(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job
) -> None:
    """Somebody has the database open: what asks it for nothing goes on, then 1 tells the supervisor."""
    assert job()[0] == 0
    process = start_job("--follow", "0.05")
    wait_until(lambda: configured.stats().pulls > 3)
    with duckdb.connect(str(warehouse.database)):
        pulls = configured.stats().pulls
        wait_until(lambda: configured.stats().pulls > pulls + 3 or process.poll() is not None)
        assert process.poll() is None
        configured.enqueue(APP, [a_reply("a")])
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Another process holds the DuckDB file open" in err
    assert job()[0] == 0
    assert warehouse.contents() == ["a"]


@pytest.mark.long
@pytest.mark.parametrize(
    "numbers",
    [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM), (signal.SIGHUP, signal.SIGINT)],
)
def test_two_signals_at_once_are_one_wish(
    configured: SimulatorProcess, warehouse: Warehouse, numbers: tuple[signal.Signals, ...]
) -> None:
    """A shell and a supervisor may both send one: what is in flight is still read and loaded."""
    configured.configure(latency=0.05)
    configured.enqueue(APP, [a_reply() for _ in range(50_000)])
    process = start_job()
    wait_until(lambda: configured.stats().pulls > 20)
    for number in numbers:
        process.send_signal(number)
    _, err = process.communicate()
    assert process.returncode == 1
    assert err.count("pulling ends") == 1
    assert warehouse.query("select count(*) from sms.replies") == [(configured.stats().handed_out,)]
    assert warehouse.query("select count(*) from sms.pulls where outcome <> 'answered'") == [(0,)]


def test_the_first_message_says_what_a_second_signal_costs() -> None:
    """In numbers; and nothing when nothing is on its way."""
    for at_risk, said in ((1_000, "Again would lose up to 1,000 records"), (0, "Again ends it at once")):
        told: list[str] = []
        with stop_on_signals(told.append, lambda n=at_risk: n) as stop:  # type: ignore[misc]
            os.kill(os.getpid(), signal.SIGTERM)
            wait_until(stop.is_set)
        assert said in told[0]


def test_what_comes_soon_after_the_first_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many: each is the same wish."""
    monkeypatch.setattr("sms_source.cli.signals.time.monotonic", lambda: 100.0 + SAME_WISH_SECONDS / 2)
    told: list[str] = []
    with stop_on_signals(told.append) as stop:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(os.getpid(), number)
        wait_until(stop.is_set)
    assert len(told) == 1


def test_handlers_are_as_before_afterwards() -> None:
    """Whoever calls this package has handlers of its own."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with stop_on_signals(lambda _: None):
        assert signal.getsignal(signal.SIGTERM) is not before[1]
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_a_job_that_follows_ends_cleanly_while_somebody_reads_the_database(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job
) -> None:
    """Nothing is opened only to say where the data is."""
    assert job()[0] == 0
    process = start_job("--follow", "0.05")
    wait_until(lambda: configured.stats().pulls > 3)
    with duckdb.connect(str(warehouse.database), read_only=True):
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate()
    assert process.returncode == 0, err


def test_a_signal_after_the_queues_were_empty_is_no_failure(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All is loaded; a scheduler that reads 1 would run it again, and a person look for what is missing."""
    finish = Round._finish

    def signalled(self: Round) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        finish(self)

    monkeypatch.setattr(Round, "_finish", signalled)
    configured.enqueue(APP, [a_reply("a")])
    status, _, err = job()
    assert (status, "before the queues were empty" in err) == (0, False)
    assert warehouse.contents() == ["a"]


def test_a_job_that_nohup_started_outlives_the_terminal() -> None:
    """SIGHUP was to be ignored; the other signals still end pulling."""
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signals(lambda _: None) as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop.is_set()
            signal.raise_signal(signal.SIGTERM)
            assert stop.is_set()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, previous)
