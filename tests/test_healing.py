"""A warehouse that went back in time: what it lacks is loaded again, and nothing else."""

import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

import sms_source
from sms_source.loading.loader import Loader, resolve_options
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Job, Warehouse, a_reply


def put_back(database: Path) -> None:
    """Restore yesterday's file, which has the first reply alone."""
    shutil.copy(database.with_suffix(".yesterday"), database)


def delete(database: Path) -> None:
    """Lose the file."""
    database.unlink()


def drop(database: Path) -> None:
    """Drop the dataset."""
    with duckdb.connect(str(database)) as connection:
        connection.execute("drop schema sms cascade")


DAMAGES = {"put back": put_back, "deleted": delete, "dropped": drop}


@pytest.fixture(params=DAMAGES)
def damaged(
    request: pytest.FixtureRequest, configured: SimulatorProcess, warehouse: Warehouse, job: Job
) -> SimulatorProcess:
    """Three replies are loaded, by a run each, of which the warehouse has lost two or all."""
    for content in "abc":
        configured.enqueue(APP, [a_reply(content)])
        assert job()[0] == 0
        if content == "a":
            shutil.copy(warehouse.database, warehouse.database.with_suffix(".yesterday"))
    damage: Callable[[Path], None] = DAMAGES[request.param]
    damage(warehouse.database)
    return configured


@pytest.mark.long
@pytest.mark.parametrize("new", [[], ["d"]])
def test_what_the_warehouse_lost_is_loaded_again_and_told(
    damaged: SimulatorProcess, warehouse: Warehouse, job: Job, new: list[str]
) -> None:
    """With and without new replies; --check tells it before, the summary after, and then it is over."""
    damaged.enqueue(APP, [a_reply(content) for content in new])
    status, out, _ = job("--check")
    assert status == 0
    assert "that had been loaded: the next run loads that again" in out
    status, out, _ = job()
    assert status == 0
    assert "packages that had been loaded (restored, dropped or deleted since?): loaded again" in out
    assert warehouse.contents() == ["a", "b", "c", *new]
    assert warehouse.query("select count(distinct pull_id) from sms.pulls") == [(3 + len(new),)]
    status, out, _ = job()
    assert (status, out.startswith("No new replies")) == (0, True)
    assert "loads that again" not in job("--check")[1]


@pytest.mark.long
def test_the_summary_counts_what_is_new(damaged: SimulatorProcess, warehouse: Warehouse) -> None:
    """As whoever watches reads it."""
    summary = sms_source.load()
    before = 3 - (summary.new_rows or {})["replies"]
    assert before in (0, 1)
    assert (summary.missing_packages, len(warehouse.contents())) == (3 - before, 3)


@pytest.mark.long
def test_rows_keep_the_load_id_that_they_first_came_with(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job
) -> None:
    """Or all of them would be new since somebody's last export."""
    for content in "ab":
        configured.enqueue(APP, [a_reply(content)])
        assert job()[0] == 0
    rows = "select reply_content, _dlt_load_id from sms.replies order by 1"
    before = warehouse.query(rows)
    assert len({load_id for _, load_id in before}) == 2
    warehouse.database.unlink()
    assert job()[0] == 0
    assert warehouse.query(rows) == before
    assert job("--replay")[0] == 0
    assert warehouse.query(rows) == before


@pytest.mark.long
def test_a_process_that_follows_heals_too(configured: SimulatorProcess, warehouse: Warehouse) -> None:
    """The file is deleted between two rounds of one process."""
    with Loader(resolve_options({})) as loader:
        for content in "ab":
            configured.enqueue(APP, [a_reply(content)])
            loader.round().raise_for_failure()
        warehouse.database.unlink()
        assert loader.round().missing_packages == 2
    assert warehouse.contents() == ["a", "b"]


def test_a_database_that_somebody_else_writes_into_costs_nothing(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job
) -> None:
    """Its file is another one, and lacks nothing: a quiet run stays quiet."""
    configured.enqueue(APP, [a_reply("a")])
    assert job()[0] == 0
    with duckdb.connect(str(warehouse.database)) as connection:
        connection.execute("create table mine as select 1 as a")
    status, out, err = job()
    assert (status, err) == (0, "")
    assert out.startswith("No new replies")
    assert warehouse.contents() == ["a"]


@pytest.mark.long
def test_what_the_archive_does_not_reach_stays_lost(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an archive there is nothing to heal from: the run goes on with what comes."""
    monkeypatch.setenv("SOURCES__SMS_SOURCE__JOURNAL_RETENTION_DAYS", "0")
    configured.enqueue(APP, [a_reply("a")])
    assert job()[0] == 0
    warehouse.database.unlink()
    configured.enqueue(APP, [a_reply("b")])
    assert job()[0] == 0
    assert warehouse.contents() == ["b"]
