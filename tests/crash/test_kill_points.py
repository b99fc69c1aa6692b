"""A kill at each boundary of the protocol, then an undisturbed run: what must be there, and what in doubt.

The queue holds 250 replies, one pull goes out at a time, and the second is the one that a kill meets.
"""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Job, Warehouse, a_reply
from tests.crash.kill_at import POINTS, run_until

REPLIES = 250
LOST = range(100, 200)
NOTHING: range = range(0)

# The point, the replies that a kill there loses, and the pulls that it leaves in doubt.
BOUNDARIES = {
    "after the intent": (NOTHING, 1),
    "after the answer arrived": (LOST, 1),
    "in the middle of the write": (LOST, 1),
    "after the write": (NOTHING, 0),
    "after the flush": (NOTHING, 0),
    "after the rename": (NOTHING, 0),
    "before the intent of an empty answer goes": (NOTHING, 1),
    "after the intent of an empty answer went": (NOTHING, 0),
    "after the yield": (NOTHING, 0),
    "after the state is written": (NOTHING, 0),
    "before the extraction counts": (NOTHING, 0),
    "while a schema is saved": (NOTHING, 0),
    "before the extraction's state counts": (NOTHING, 0),
    "after extract": (NOTHING, 0),
    "in the middle of normalize": (NOTHING, 0),
    "before what was normalized goes": (NOTHING, 0),
    "while what was normalized goes": (NOTHING, 0),
    "after normalize": (NOTHING, 0),
    "after the first job of a load": (NOTHING, 0),
    "after the merge": (NOTHING, 0),
    "before the load counts": (NOTHING, 0),
    "after load": (NOTHING, 0),
}


@pytest.fixture(autouse=True)
def one_pull_at_a_time(configured: SimulatorProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker, so that each point is met in the same state every time."""
    monkeypatch.setenv("SOURCES__SMS_SOURCE__PULL_WORKERS", "1")
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")


def numbered(replies: range) -> list[str]:
    """The texts of these replies."""
    return [f"{n:03d}" for n in replies]


def enqueue(simulator: SimulatorProcess, replies: range) -> None:
    """Puts numbered replies into the queue."""
    simulator.enqueue(APP, [a_reply(text) for text in numbered(replies)])


def kill(point: str) -> None:
    """Runs the job until it kills itself at the point."""
    status = run_until(point)
    assert status == -signal.SIGKILL, f"{point} was not met:\n{Path('kill_at.log').read_text()}"


def assert_is_whole(warehouse: Warehouse, lost: range, doubts: int) -> None:
    """All replies but the lost ones are there once; as many pulls are in doubt, each for at most 100."""
    assert warehouse.contents() == [text for text in numbered(range(REPLIES)) if text not in numbered(lost)]
    ledger = (
        "select outcome, replies, at_risk, request_id is null, sms_sdk_app_id from sms.pulls order by all"
    )
    answered = [("answered", count, 0, False, APP) for count in (50, 100, 100)][: 2 if lost else 3]
    assert warehouse.query(ledger) == answered + [("in_doubt", 0, 100, True, APP)] * doubts
    assert warehouse.query("select count(*) from sms.rejected_replies") == [(0,)]


def journal(what: str) -> list[str]:
    """Names in the journal."""
    return sorted(path.name for path in Path("sms_journal").glob(what))


def test_every_point_has_its_test() -> None:
    """A boundary that is added to the list is added to the proofs."""
    text = Path(__file__).read_text(encoding="utf-8")
    assert [point for point in POINTS if json.dumps(point) not in text] == []


@pytest.mark.parametrize("point", BOUNDARIES)
def test_a_kill_at_a_boundary_loses_only_what_it_must(
    point: str, configured: SimulatorProcess, warehouse: Warehouse, job: Job
) -> None:
    """The very first run dies there, before the dataset exists: the next one has all that was journaled."""
    enqueue(configured, range(REPLIES))
    kill(point)
    assert job()[0] == 0
    lost, doubts = BOUNDARIES[point]
    assert_is_whole(warehouse, lost, doubts)


def test_what_is_in_doubt_is_the_pull_that_the_kill_cut_off(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job
) -> None:
    """Its row has the application, the time, a bound of its own Limit and the reason; the summary warns."""
    enqueue(configured, range(REPLIES))
    before = time.time()
    kill("after the answer arrived")
    after = time.time()
    status, out, _ = job()
    assert status == 0
    assert "WARNING: 1 pull in doubt, at most 100 replies lost" in out
    lost_at = configured.log()[1].time
    ((requested_at, answered_at, error),) = warehouse.query(
        "select epoch(requested_at), answered_at, error from sms.pulls where outcome = 'in_doubt'"
    )
    assert before < requested_at <= lost_at < after
    assert (answered_at, error) == (None, "the process ended before the answer was in the journal")
    status, out, err = job()
    assert (status, err) == (0, "")
    assert out.startswith("No new replies")


def test_a_kill_after_a_doubt_was_noted_keeps_its_reason(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job
) -> None:
    """The broken answer, not the kill, is what put the pull in doubt."""
    enqueue(configured, range(REPLIES))
    configured.fail_next("truncate", after=1)
    kill("after a doubt was noted")
    assert job()[0] == 0
    assert warehouse.contents() == [text for text in numbered(range(REPLIES)) if text not in numbered(LOST)]
    assert warehouse.query("select at_risk, split_part(error, ':', 1) from sms.pulls where at_risk > 0") == [
        (100, "Client.TruncatedBody")
    ]


def test_a_kill_while_an_earlier_kill_s_packages_are_loaded(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job
) -> None:
    """Whoever kills twice meets the run that mends the first kill."""
    enqueue(configured, range(200))
    kill("after extract")
    enqueue(configured, range(200, REPLIES))
    for point in ("in the middle of normalize", "after the first job of a load", "after the merge"):
        kill(point)
    assert job()[0] == 0
    assert_is_whole(warehouse, NOTHING, 0)


def test_a_kill_while_a_schema_comes_back_from_the_destination(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job
) -> None:
    """A new working directory has its schema from there: a draft of one is none."""
    enqueue(configured, range(200))
    assert job()[0] == 0
    shutil.rmtree(os.environ["DLT_DATA_DIR"])
    enqueue(configured, range(200, REPLIES))
    kill("while a schema is saved")
    status, _, err = job()
    assert status == 0, err
    assert_is_whole(warehouse, NOTHING, 0)


@pytest.mark.parametrize("point", ["before what was normalized goes", "while what was normalized goes"])
def test_a_kill_while_a_package_is_normalized_that_no_state_names(
    point: str, configured: SimulatorProcess, warehouse: Warehouse, job: Job
) -> None:
    """Two kills, each between two steps of dlt that belong together: the next run ends well even so."""
    enqueue(configured, range(200))
    assert job()[0] == 0
    enqueue(configured, range(200, REPLIES))
    kill("before the extraction's state counts")
    kill(point)
    status, _, err = job()
    assert status == 0, err
    assert_is_whole(warehouse, NOTHING, 0)


def test_a_kill_while_a_replay_is_extracted(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job
) -> None:
    """What the journal gives again stays in the journal until it is loaded."""
    enqueue(configured, range(REPLIES))
    for point in (
        "after the intent of an empty answer went",
        "after the yield",
        "after the state is written",
    ):
        kill(point)
    assert configured.stats().queued[f"{APP}/ap-guangzhou"] == 0
    assert job()[0] == 0
    assert_is_whole(warehouse, NOTHING, 0)


@pytest.fixture
def two_drains(configured: SimulatorProcess, job: Job) -> None:
    """A warehouse with 250 replies of two drains, which the state names and the journal has not swept."""
    enqueue(configured, range(200))
    kill("after the rename")
    enqueue(configured, range(200, REPLIES))
    assert job()[0] == 0
    assert len(journal("drains/*")) == 2
    assert journal("committed/*") == []


def test_a_kill_between_two_commits_of_a_sweep(two_drains: None, warehouse: Warehouse, job: Job) -> None:
    """The state still names the other drain; neither is given to dlt again."""
    kill("between two commits of a sweep")
    assert journal("committed/*") == journal("drains/*")[:1]
    status, out, _ = job()
    assert status == 0
    assert out.startswith("No new replies")
    assert journal("committed/*") == journal("drains/*")
    assert sum(count for (count,) in warehouse.query("select replies from sms.pulls")) == REPLIES


@pytest.mark.parametrize("point", ["in the middle of an expiry", "before an expired drain's marker goes"])
def test_a_kill_in_the_middle_of_an_expiry(
    point: str, two_drains: None, warehouse: Warehouse, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drain half deleted is a committed one: not given again, and deleted by the next run."""
    monkeypatch.setenv("SOURCES__SMS_SOURCE__JOURNAL_RETENTION_DAYS", "0")
    kill(point)
    assert len(journal("committed/*")) == 2
    status, out, _ = job()
    assert status == 0
    assert out.startswith("No new replies")
    assert journal("drains/*") == journal("committed/*") == []
    assert warehouse.contents() == numbered(range(REPLIES))
