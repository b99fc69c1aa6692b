"""A recovery beside a job that follows the queues: neither keeps the other waiting, nothing comes twice."""

import signal
from pathlib import Path

import pytest

import sms_source
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP
from tests.helpers.jobs import start_job, wait_until
from tests.recovery.conftest import Lose, Query, number_of, reply_of


@pytest.mark.long
def test_a_recovery_runs_beside_follow(
    configured: SimulatorProcess, lose: Lose, query: Query, own_folders: Path
) -> None:
    """Both take the journal and the database for moments."""
    lose([reply_of(person, f"lost {person}") for person in range(40)])
    sms_source.load()
    follower = start_job("--follow", "0.5")
    wait_until(lambda: configured.stats().pulls > 3 or follower.poll() is not None)
    configured.enqueue(APP, [reply_of(person, f"pulled {person}") for person in range(40)])
    summary = sms_source.recover(numbers=[number_of(person) for person in range(120)])
    summary.raise_for_failure()
    follower.send_signal(signal.SIGTERM)
    _, errors = follower.communicate()
    assert follower.returncode == 0, errors
    rows = query("select reply_content, count(*) from sms.unique_replies group by 1")
    expected = {f"{kind} {person}": 1 for kind in ("lost", "pulled") for person in range(40)}
    assert dict(rows) == expected
    assert summary.recovered["replies"] == 40
