"""One emptying of the queues: what is pulled next, who gets what came, and how it ends."""

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sms_source.errors import JournalError, PullError, SmsSourceError
from sms_source.feeds import REPLIES
from sms_source.journal.journal import Journal
from sms_source.journal.local_storage import LocalReservation, LocalStorage
from sms_source.journal.pull import Pull
from sms_source.loading.loader import resolve_options
from sms_source.pulling.bounds import Bounds
from sms_source.pulling.concurrency import Concurrency
from sms_source.pulling.drain import Drain
from sms_source.pulling.pull_once import Queue
from sms_source.simulator import Fault, FaultKind, SimulatorProcess
from tests.conftest import APP, OTHER_APP, a_reply
from tests.helpers.jobs import wait_until
from tests.helpers.journals import files

BOTH = [APP, OTHER_APP]
BACKLOG = [Queue(REPLIES, APP, "ap-guangzhou", 100)]


class Disk(LocalStorage):
    """A folder on a disk with room for so many answers."""

    room = 1_000_000

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._answers = itertools.count()
        self.failing = threading.Barrier(1)
        """Those who fail wait here for each other."""
        self.error: Exception = OSError("no room")

    def reserve(self, path: str, size: int) -> LocalReservation:
        """Reserve room, or fail."""
        if next(self._answers) >= self.room:
            self.failing.wait()
            raise self.error
        return super().reserve(path, size)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    """Provide a disk with room enough."""
    return Disk(tmp_path / "journal")


@pytest.fixture
def journal(disk: Disk) -> Iterator[Journal]:
    """Provide an empty journal on it, which this process holds."""
    with Journal(disk.url, storage=disk) as journal:
        yield journal


def drain_of(journal: Journal, options: dict[str, Any] | None = None, **given: Any) -> Drain:
    """Return a drain of the simulator's queues, with one pull at a time unless it is told otherwise."""
    return Drain(resolve_options({"pull_workers": 1, **(options or {})}), journal.open_drain(), **given)


def over_a_network(workers: int) -> Concurrency:
    """Return what has met a server far away: all workers may pull at once, also after a quick answer."""
    concurrency = Concurrency(workers)
    for _ in range(2):
        concurrency.add(1.0, 0.001)
    return concurrency


def texts(pulls: list[Pull]) -> list[str]:
    """Return what people wrote, in the order in which it was handed out."""
    return [record["ReplyContent"] for pull in pulls for record in pull.records]


def pulling_threads() -> list[threading.Thread]:
    """Return the threads that pull."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("pull-")]


def numbered(count: int) -> list[dict[str, Any]]:
    """Return replies that their text tells apart."""
    return [a_reply(f"{number:04d}") for number in range(count)]


def test_an_empty_queue_is_found_out_by_one_request(configured: SimulatorProcess, journal: Journal) -> None:
    """And leaves nothing behind, however often it is asked whether anything came."""
    drain = drain_of(journal)
    assert [drain.begin(), drain.begin()] == [False, False]
    assert list(drain.pulls()) == []
    assert (drain.report.requests, drain.report.drained, drain.in_flight) == (1, True, 0)
    assert configured.stats().pulls == 1
    assert files(journal) == []
    assert journal.unloaded() == []


def test_who_has_asked_whether_anything_came_gets_all_of_it(
    configured: SimulatorProcess, journal: Journal
) -> None:
    """The answer that told it is the first one."""
    configured.enqueue(APP, numbered(250))
    drain = drain_of(journal)
    assert [drain.begin(), drain.begin()] == [True, True]
    pulls = list(drain.pulls())
    assert texts(pulls) == [f"{number:04d}" for number in range(250)]
    assert (drain.report.requests, drain.report.drained) == (4, True)
    assert [*journal.read(drain.drain_id)] == pulls


def test_queues_take_turns(configured: SimulatorProcess, journal: Journal) -> None:
    """A long queue does not keep the replies to another application waiting until it is empty."""
    for app_id in BOTH:
        configured.enqueue(app_id, numbered(30))
    drain = drain_of(journal, {"sms_sdk_app_ids": BOTH, "pull_limit": 10})
    assert len(texts(list(drain.pulls()))) == 60
    assert [pull.app_id for pull in configured.log()] == BOTH * 4


def test_feeds_are_drained_side_by_side(configured: SimulatorProcess, journal: Journal) -> None:
    """Each application has a queue of each, which is drained by the feed's own action."""
    configured.enqueue(APP, numbered(1))
    drain = drain_of(journal, {"sms_sdk_app_ids": BOTH, "pull_feeds": ["replies", "receipts"]})
    (pull,) = drain.pulls()
    assert (pull.feed, pull.sms_sdk_app_id) == ("replies", APP)
    asked = {(pull.feed, pull.app_id) for pull in configured.log()}
    assert asked == {(feed, app_id) for feed in ("replies", "receipts") for app_id in BOTH}


def test_what_a_drain_may_not_hand_out_stays_in_the_queue(
    configured: SimulatorProcess, journal: Journal
) -> None:
    """The next drain is called for once, and only when this one is read: they would pile up in memory."""
    configured.enqueue(APP, numbered(300))
    called: list[str] = []
    drain = drain_of(journal, bounds=Bounds(records=200), on_full=lambda: called.append("now"))
    drain.start()
    wait_until(lambda: not pulling_threads())
    assert (called, [queue.sms_sdk_app_id for queue in drain.backlog]) == ([], [APP])
    pulls = drain.pulls()
    read = [next(pulls)]
    assert called == ["now"]
    read += pulls
    assert (called, drain.report.drained, drain.report.failures) == (["now"], False, [])
    assert len(texts(read)) == 200
    assert configured.stats().queued[f"{APP}/ap-guangzhou"] == 100


def test_the_next_drain_is_called_for_while_the_last_answers_are_on_their_way(
    configured: SimulatorProcess, journal: Journal
) -> None:
    """Pulling does not pause between two drains: here, it is called for in the middle of a pull."""
    configured.enqueue(APP, numbered(300))
    in_flight: list[int] = []
    concurrency = over_a_network(2)
    drain: Drain = drain_of(
        journal,
        {"pull_workers": 2},
        bounds=Bounds(records=300),
        on_full=lambda: in_flight.append(drain.in_flight),
        concurrency=concurrency,
        backlog=BACKLOG,
    )
    configured.configure(latency=0.5)
    pulls = drain.pulls()
    read = [next(pulls)]
    configured.configure(latency=1.0)
    read += pulls
    assert in_flight == [1]
    assert len(texts(read)) == 300


def test_a_queue_in_which_more_waits_is_pulled_from_side_by_side_at_once(
    configured: SimulatorProcess, journal: Journal
) -> None:
    """Without a probe: the drain before this one has seen a full answer."""
    configured.configure(latency=0.5)
    configured.enqueue(APP, numbered(300))
    concurrency = over_a_network(3)
    drain = drain_of(journal, {"pull_workers": 3}, concurrency=concurrency, backlog=BACKLOG)
    drain.start()
    wait_until(lambda: drain.in_flight == 3)
    assert drain.report.requests == 0
    assert len(texts(list(drain.pulls()))) == 300


def test_drains_that_follow_one_another_have_no_more_in_flight_than_one_may(
    configured: SimulatorProcess, journal: Journal
) -> None:
    """What a kill costs at most is `pull_workers` requests, also while one drain ends and the next begins."""
    configured.configure(latency=0.05)
    configured.enqueue(APP, numbered(3_000))
    concurrency = over_a_network(3)
    options = {"pull_workers": 3}
    drains = [drain_of(journal, options, concurrency=concurrency, backlog=BACKLOG) for _ in range(2)]
    for drain in drains:
        drain.start()
    in_flight = []
    while pulling_threads():
        with concurrency.changed:
            in_flight.append([drain.in_flight for drain in drains])
        time.sleep(0.001)
    assert max(map(sum, in_flight)) == 3
    assert all(max(own) > 0 for own in zip(*in_flight, strict=True))
    assert sum(len(texts(list(drain.pulls()))) for drain in drains) == 3_000
    assert concurrency.in_flight == 0


def test_a_drain_that_fails_to_call_for_the_next_one_tells_it(
    configured: SimulatorProcess, journal: Journal
) -> None:
    """What it pulled is handed on."""
    configured.enqueue(APP, numbered(300))

    def fail() -> None:
        raise JournalError("no room")

    drain = drain_of(journal, bounds=Bounds(records=200), on_full=fail)
    assert len(texts(list(drain.pulls()))) == 200
    assert [str(failure) for failure in drain.report.failures] == ["no room"]


def test_refusals_for_the_rate_leave_a_backlog_what_it_is(
    configured: SimulatorProcess, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    """Pulling goes on side by side, at a lower rate, without a warning for each."""
    configured.enqueue(APP, numbered(400))
    configured.fail_randomly({Fault(FaultKind.API_ERROR, code="RequestLimitExceeded"): 0.2}, seed=1)
    drain = drain_of(journal, {"pull_limit": 10}, bounds=Bounds(clock=lambda: 0.0))
    assert len(texts(list(drain.pulls()))) == 400
    assert (drain.report.drained, drain.report.failures) == (True, [])
    assert drain.report.rate_limited > 3
    assert caplog.text == ""


@pytest.mark.parametrize("error", [OSError("no room"), MemoryError()])
def test_a_permit_is_given_back_whatever_the_journal_fails_with(
    configured: SimulatorProcess, journal: Journal, disk: Disk, error: Exception
) -> None:
    """All pulls of the account in this process share the rate: it would be lower from then on."""
    disk.room, disk.error = 0, error
    options = {"pulls_per_second": 1}
    for _ in range(2):
        drain = drain_of(journal, options)
        assert list(drain.pulls()) == []
        assert len(drain.report.failures) == 1
    disk.room = 9
    configured.enqueue(APP, numbered(1))
    assert len(list(drain_of(journal, options).pulls())) == 1


def test_no_other_drain_is_called_for_when_this_one_is_stopped(
    configured: SimulatorProcess, journal: Journal
) -> None:
    """Nothing is asked of the queues any more, and they are not said to be empty."""
    configured.configure(latency=1.0)
    configured.enqueue(APP, numbered(300))
    called: list[int] = []
    stop = threading.Event()
    drain = drain_of(journal, stop=stop, bounds=Bounds(records=100), on_full=lambda: called.append(1))
    drain.start()
    wait_until(lambda: files(journal) != [])
    stop.set()
    assert len(texts(list(drain.pulls()))) == 100
    assert (called, drain.report.drained) == ([], False)


def test_a_queue_that_is_refused_is_a_failure_of_its_own(
    configured: SimulatorProcess, journal: Journal
) -> None:
    """The others are drained; what was left is not called for again, as it would be refused again."""
    configured.enqueue(APP, numbered(5))
    called: list[int] = []
    drain = drain_of(journal, {"sms_sdk_app_ids": ["1499999999", APP]}, on_full=lambda: called.append(1))
    assert len(texts(list(drain.pulls()))) == 5
    (failure,) = drain.report.failures
    assert isinstance(failure, PullError)
    assert failure.sms_sdk_app_id == "1499999999"
    assert (called, drain.report.drained) == ([], False)


def test_who_stops_reading_leaves_the_rest_in_the_journal(
    configured: SimulatorProcess, journal: Journal
) -> None:
    """What was in flight is waited for, so that no answer is lost on its way, and no thread stays."""
    configured.configure(latency=0.01)
    configured.enqueue(APP, numbered(2_000))
    drain = drain_of(journal, {"pull_workers": 8})
    pulls = drain.pulls()
    next(pulls)
    next(pulls)
    pulls.close()  # type: ignore[attr-defined] # a generator
    assert drain.in_flight == 0
    assert not pulling_threads()
    there = texts([*journal.read(drain.drain_id)])
    assert sorted(there) == [f"{number:04d}" for number in range(configured.stats().handed_out)]
    assert len(there) >= 200


@pytest.mark.parametrize("workers", [1, 8])
def test_a_journal_that_takes_no_more_ends_all_queues(
    configured: SimulatorProcess, journal: Journal, disk: Disk, workers: int
) -> None:
    """What it took is handed on, and nothing more is asked for."""
    configured.configure(latency=0.01)
    for app_id in BOTH:
        configured.enqueue(app_id, numbered(2_000))
    disk.room = 5
    drain = drain_of(journal, {"sms_sdk_app_ids": BOTH, "pull_workers": workers})
    read = list(drain.pulls())
    (failure,) = drain.report.failures
    assert isinstance(failure, JournalError)
    assert (len(read), len(texts(read)), drain.report.requests) == (5, 500, 5)
    assert not drain.report.drained
    assert configured.stats().handed_out == 500


def test_a_journal_that_fails_several_threads_at_once_is_told_once(
    configured: SimulatorProcess, journal: Journal, disk: Disk
) -> None:
    """One message is enough for a person; both queues were about to be asked."""
    disk.room, disk.failing = 0, threading.Barrier(2)
    concurrency = over_a_network(2)
    options = {"sms_sdk_app_ids": BOTH, "pull_workers": 2}
    drain = drain_of(journal, options, concurrency=concurrency)
    assert list(drain.pulls()) == []
    assert [type(failure) for failure in drain.report.failures] == [JournalError]
    assert configured.stats().pulls == 0


def have_room_for_threads(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Have the system refuse any further thread that pulls."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("pull-") and int(thread.name.partition("-")[2]) > count:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)


def test_where_no_more_threads_can_be_had_those_that_there_are_go_on(
    configured: SimulatorProcess,
    journal: Journal,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Slower, and to the end; the log says so once."""
    configured.enqueue(APP, numbered(1_000))
    concurrency = over_a_network(8)
    have_room_for_threads(monkeypatch, 2)
    drain = drain_of(journal, {"pull_workers": 8}, concurrency=concurrency)
    assert len(texts(list(drain.pulls()))) == 1_000
    assert (drain.report.drained, drain.report.failures, drain.in_flight) == (True, [], 0)
    assert caplog.text.count("pulling goes on with the threads that there are") == 1


def test_a_drain_that_gets_no_thread_at_all_fails(
    configured: SimulatorProcess, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tells what to do, to whoever reads it, however often; nothing is asked for."""
    have_room_for_threads(monkeypatch, 0)
    drain = drain_of(journal)
    drain.start()
    assert [drain.begin(), drain.begin(), *drain.pulls()] == [False, False]
    (failure,) = drain.report.failures
    assert isinstance(failure, SmsSourceError)
    assert "can't start new thread" in str(failure)
    assert "ulimit -u" in str(failure)
    assert (drain.report.drained, configured.stats().pulls) == (False, 0)


def test_a_drain_that_nobody_reads_waits_for_its_reader(
    configured: SimulatorProcess, journal: Journal
) -> None:
    """Started ahead, it holds what came; its end is told to whoever reads it later."""
    configured.enqueue(APP, numbered(150))
    drain = drain_of(journal)
    drain.start()
    wait_until(lambda: configured.stats().pulls == 3)
    assert len(texts(list(drain.pulls()))) == 150
    assert drain.report.drained
    assert drain.report.seconds > 0


def test_a_drain_that_is_closed_before_it_began_asks_for_nothing(
    configured: SimulatorProcess, journal: Journal
) -> None:
    """As when a round fails before its first package."""
    drain_of(journal).close()
    assert configured.stats().pulls == 0
    assert journal.unloaded() == []
