"""A kill at each boundary of the protocol, then an undisturbed run: what must be there, and what in doubt.

The queue holds 250 replies, one pull goes out at a time, and the second is the one that a kill meets.
"""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Job, Warehouse, a_reply
from tests.crash.job import MERGED_AT
from tests.crash.kill_at import SOURCE, run_source, run_until
from tests.crash.points import ARCHIVING, EMPTYING, GIVING_AGAIN, LOADING, MERGING, POINTS, PULLING

REPLIES = 250
LOST = range(100, 200)
NOTHING: range = range(0)

# The replies that a kill at a point loses, and the pulls that it leaves in doubt; elsewhere none.
COSTS = {
    "after the intent": (NOTHING, 1),
    "after the answer arrived": (LOST, 1),
    "before the intent of an empty answer goes": (NOTHING, 1),
}
BY_ITSELF = ["in the middle of the write", "after a doubt was noted"]
"""Points with a test of their own."""

OF_DRAINS = [
    "in the middle of the bundle's write",
    "after the bundle's write",
    "while the drain's files go",
    "before the drain's folder goes",
]
"""Points to which a run that loads bundles again need not come."""

AGAIN = [point for point in (*GIVING_AGAIN, *LOADING, *ARCHIVING) if point not in OF_DRAINS]

BOUNDARIES = [point for point in (*PULLING, *LOADING) if point not in BY_ITSELF]


@pytest.fixture(autouse=True)
def one_pull_at_a_time(configured: SimulatorProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker, so that each point is met in the same state every time."""
    monkeypatch.setenv("SOURCES__SMS_SOURCE__PULL_WORKERS", "1")
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")


@pytest.fixture(params=["load", SOURCE])
def subject(request: pytest.FixtureRequest) -> str:
    """Provide what is killed: the main job, or a pipeline of one's own with the bare source."""
    return str(request.param)


@pytest.fixture
def run(subject: str, job: Job) -> Callable[[], None]:
    """Provide an undisturbed run of what is killed, which must succeed."""

    def run_job() -> None:
        succeed(job)

    return run_source if subject == SOURCE else run_job


def succeed(job: Job, *arguments: str) -> str:
    """Run the main job, which must succeed; return what it says."""
    status, out, err = job(*arguments)
    assert status == 0, err
    return out


def numbered(replies: range) -> list[str]:
    """Return the texts of these replies."""
    return [f"{n:03d}" for n in replies]


def enqueue(simulator: SimulatorProcess, replies: range) -> None:
    """Put numbered replies into the queue."""
    simulator.enqueue(APP, [a_reply(text) for text in numbered(replies)])


def kill(point: str, *arguments: str) -> None:
    """Run the job, or the source, until it kills itself at the point."""
    status = run_until(point, *arguments)
    assert status == -signal.SIGKILL, f"{point} was not met:\n{Path('kill_at.log').read_text()}"


def assert_is_whole(
    warehouse: Warehouse, lost: range = NOTHING, doubts: int = 0, *, max_needless: int = 0
) -> None:
    """All replies but the lost ones are there once; as many pulls are in doubt, each for at most 100.

    Beside the point where it is killed, a run may have been asking an empty queue: `max_needless`.
    """
    assert warehouse.contents() == [text for text in numbered(range(REPLIES)) if text not in numbered(lost)]
    ledger = (
        "select outcome, records, at_risk, request_id is null, sms_sdk_app_id from sms.pulls order by all"
    )
    answered = [("answered", count, 0, False, APP) for count in (50, 100, 100)][: 2 if lost else 3]
    in_doubt = ("in_doubt", 0, 100, True, APP)
    rows = warehouse.query(ledger)
    assert rows[: len(answered)] == answered
    assert set(rows[len(answered) :]) <= {in_doubt}
    assert doubts <= len(rows) - len(answered) <= doubts + max_needless
    assert warehouse.query("select count(*) from sms.rejected_records") == [(0,)]


def journal(what: str) -> list[str]:
    """Names in the journal."""
    return sorted(path.name for path in Path("sms_journal").glob(what))


def test_every_point_has_its_test() -> None:
    """A boundary that is added to the list is added to the proofs."""
    text = Path(__file__).read_text(encoding="utf-8")
    lists = (*BOUNDARIES, *ARCHIVING, *MERGING, *GIVING_AGAIN, *EMPTYING)
    assert [point for point in POINTS if point not in lists and json.dumps(point) not in text] == []


@pytest.mark.parametrize("point", BOUNDARIES)
def test_a_kill_at_a_boundary_loses_only_what_it_must(
    point: str, subject: str, run: Callable[[], None], configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """The very first run dies there, before the dataset exists: the next one has all that was journaled."""
    enqueue(configured, range(REPLIES))
    kill(point, *([subject] if subject == SOURCE else []))
    run()
    assert_is_whole(warehouse, *COSTS.get(point, (NOTHING, 0)))


@pytest.mark.parametrize("point", ARCHIVING)
def test_a_kill_while_a_load_is_archived_loses_and_doubles_nothing(
    point: str, configured: SimulatorProcess, warehouse: Warehouse, job: Job
) -> None:
    """What is loaded is in the archive once the next run has ended, and nothing waits."""
    enqueue(configured, range(REPLIES))
    kill(point)
    succeed(job)
    assert_is_whole(warehouse)
    assert journal("drains/*") == []
    warehouse.database.unlink()
    assert "The destination lacked" in succeed(job)
    assert_is_whole(warehouse)


@pytest.mark.parametrize("point", [point for point in ARCHIVING if point != "after the load is noted"])
def test_a_kill_while_the_source_archives_what_it_loaded_before(
    point: str, configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """It archives at the start of its next extraction, which the kill meets."""
    enqueue(configured, range(200))
    run_source()
    enqueue(configured, range(200, REPLIES))
    kill(point, SOURCE)
    run_source()
    assert_is_whole(warehouse)


@pytest.mark.parametrize("point", MERGING)
def test_a_kill_while_bundles_are_merged_keeps_all_of_them(
    point: str,
    configured: SimulatorProcess,
    warehouse: Warehouse,
    job: Job,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The archive may have a pull twice then; a warehouse that is loaded from it has it once."""
    monkeypatch.setenv(MERGED_AT, "2")
    enqueue(configured, range(200))
    succeed(job)
    enqueue(configured, range(200, REPLIES))
    kill(point)
    succeed(job)
    assert_is_whole(warehouse)
    warehouse.database.unlink()
    succeed(job)
    assert_is_whole(warehouse)


@pytest.mark.parametrize("point", AGAIN)
def test_a_kill_in_a_replay_takes_no_row_away(
    point: str, configured: SimulatorProcess, warehouse: Warehouse, job: Job
) -> None:
    """What it gives again counts as not loaded until it is, so an ordinary run ends what it began."""
    enqueue(configured, range(200))
    succeed(job)
    enqueue(configured, range(200, REPLIES))
    succeed(job)
    kill(point, "--replay")
    succeed(job)
    assert_is_whole(warehouse)
    assert journal("drains/*") == []


@pytest.mark.parametrize("point", AGAIN)
def test_a_kill_while_a_warehouse_heals_is_made_up_for(
    point: str, configured: SimulatorProcess, warehouse: Warehouse, job: Job
) -> None:
    """The database's file is an older copy: the run that loads the rest dies, the next one ends it."""
    enqueue(configured, range(200))
    succeed(job)
    copy = warehouse.database.read_bytes()
    enqueue(configured, range(200, REPLIES))
    succeed(job)
    warehouse.database.write_bytes(copy)
    kill(point)
    succeed(job)
    assert_is_whole(warehouse, max_needless=1)
    assert journal("drains/*") == []


def test_a_kill_in_a_replay_of_the_source_takes_no_row_away(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """dlt's merge deletes first: between its two statements no row may be gone for good."""
    enqueue(configured, range(REPLIES))
    run_source()
    kill("between DELETE and INSERT", SOURCE, "--replay")
    run_source()
    assert_is_whole(warehouse)


@pytest.mark.parametrize("point", EMPTYING)
def test_a_kill_while_the_working_directory_is_emptied(
    point: str,
    subject: str,
    run: Callable[[], None],
    configured: SimulatorProcess,
    warehouse: Warehouse,
) -> None:
    """It is whole or gone, and what was renamed is deleted by the next run."""
    enqueue(configured, range(200))
    run()
    enqueue(configured, range(200, REPLIES))
    kill("after the state is written", *([subject] if subject == SOURCE else []))  # the queue is empty now
    kill(point, *([subject] if subject == SOURCE else []))
    run()
    assert_is_whole(warehouse, max_needless=1)
    assert list(Path(os.environ["DLT_DATA_DIR"], "pipelines").glob(".emptied-*")) == []


def test_what_is_in_doubt_is_the_pull_that_the_kill_cut_off(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job
) -> None:
    """Its row has the application, the time, a bound of its own Limit and the reason; the summary warns."""
    enqueue(configured, range(REPLIES))
    before = time.time()
    kill("after the answer arrived")
    after = time.time()
    out = succeed(job)
    assert "WARNING: 1 pull in doubt" in out
    lost_at = configured.log()[1].time
    ((requested_at, answered_at, error),) = warehouse.query(
        "select epoch(requested_at), answered_at, error from sms.pulls where outcome = 'in_doubt'"
    )
    assert before < requested_at <= lost_at < after
    assert answered_at is None
    assert error.endswith("the process ended before the answer was in the journal")
    assert succeed(job).startswith("No new replies")


def test_a_kill_after_a_doubt_was_noted_keeps_its_reason_and_what_came(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job
) -> None:
    """The broken answer, not the kill, is what put the pull in doubt; its whole records are rows."""
    enqueue(configured, range(REPLIES))
    configured.fail_next("truncate", after=1)
    kill("after a doubt was noted")
    succeed(job)
    ((records, at_risk, code),) = warehouse.query(
        "select records, at_risk, split_part(error, ':', 1) from sms.pulls where outcome = 'in_doubt'"
    )
    assert (records + at_risk, code) == (100, "Client.TruncatedBody")
    lost = numbered(range(100 + records, 200))
    assert warehouse.contents() == [text for text in numbered(range(REPLIES)) if text not in lost]


def test_a_kill_in_the_middle_of_an_answer_s_write_keeps_what_is_whole(
    subject: str, run: Callable[[], None], configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """The records that are in the file are rows; the pull is in doubt for the others."""
    enqueue(configured, range(REPLIES))
    kill("in the middle of the write", *([subject] if subject == SOURCE else []))
    run()
    ((records, at_risk, request_id),) = warehouse.query(
        "select records, at_risk, request_id from sms.pulls where outcome = 'in_doubt'"
    )
    assert 0 < records < 100
    assert (at_risk, request_id) == (100 - records, configured.log()[1].request_id)
    lost = numbered(range(100 + records, 200))
    assert warehouse.contents() == [text for text in numbered(range(REPLIES)) if text not in lost]


def test_a_kill_while_an_earlier_kill_s_pulls_are_loaded(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job
) -> None:
    """Whoever kills several times meets the runs that make up for the kills before."""
    enqueue(configured, range(200))
    kill("after extract")
    enqueue(configured, range(200, REPLIES))
    for point in ("in the middle of normalize", "after the first job of a load", "after the merge"):
        kill(point)
    succeed(job)
    assert_is_whole(warehouse)


def test_a_kill_while_a_schema_comes_back_from_the_destination(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job
) -> None:
    """A new working directory has its schema from there: a draft of one is none."""
    enqueue(configured, range(200))
    succeed(job)
    shutil.rmtree(os.environ["DLT_DATA_DIR"])
    enqueue(configured, range(200, REPLIES))
    kill("while a schema is saved")
    succeed(job)
    assert_is_whole(warehouse)


def test_a_kill_while_an_expired_archive_is_deleted(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is loaded and older than the retention goes, whenever."""
    enqueue(configured, range(200))
    succeed(job)
    enqueue(configured, range(200, REPLIES))
    monkeypatch.setenv("SOURCES__SMS_SOURCE__JOURNAL_RETENTION_DAYS", "0")
    kill("while merged bundles go")
    succeed(job)
    assert_is_whole(warehouse)
    assert journal("archive/*") == journal("drains/*") == []
