"""Two jobs of one dataset at the same moment: what both make is made once, and neither fails.

The other job is a session of the test's that has done its part and has not committed it. The job waits for
it, in the database, in the statement that does the same; then the session commits.
"""

import subprocess

import pytest

from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Job, a_reply
from tests.helpers.jobs import start_job, wait_until
from tests.postgres.conftest import PostgresWarehouse

DEADLOCK_SECONDS = 3
"""After which PostgreSQL looks whether sessions wait for each other, and ends the one that asked."""


def start_until_it_waits(postgres: PostgresWarehouse, statement: str) -> "subprocess.Popen[str]":
    """Start the job, and return when it waits for another session in a statement that begins like this."""
    process = start_job("--destination", "postgres")
    waiting = (
        "select count(*) from pg_stat_activity where datname = current_database() "
        f"and wait_event_type = 'Lock' and ltrim(query, E' \\n') like '{statement}%'"
    )
    wait_until(lambda: postgres.query(waiting) != [(0,)] or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    return process


def assert_ends_well(process: "subprocess.Popen[str]", postgres: PostgresWarehouse, *contents: str) -> None:
    """Check that the job ends with 0 and has loaded what people wrote, without a word of the other one."""
    out, err = process.communicate()
    assert (process.returncode, err) == (0, ""), err
    assert out.startswith("Loaded ")
    assert postgres.contents() == list(contents)


@pytest.fixture
def model(configured: SimulatorProcess, postgres: PostgresWarehouse, job: Job) -> list[str]:
    """Provide the statements that make each table of `sms` as a job does: the model's are of another job."""
    with pytest.MonkeyPatch.context() as elsewhere:
        elsewhere.setenv("SOURCES__SMS_SOURCE__JOURNAL_URL", "other_journal")
        assert job("--destination", "postgres", "--pipeline", "other", "--dataset", "other")[0] == 0
    tables = postgres.query(
        "select table_name from information_schema.tables "
        "where table_schema = 'other' and table_type = 'BASE TABLE'"
    )
    return [f"create table sms.{name} (like other.{name} including all)" for (name,) in tables]


def test_two_first_runs_make_the_schema_at_once(
    configured: SimulatorProcess, postgres: PostgresWarehouse
) -> None:
    """Both find none."""
    configured.enqueue(APP, [a_reply("a")])
    with postgres.session() as other:
        other.execute("create schema sms")
        process = start_until_it_waits(postgres, "CREATE SCHEMA")
    assert_ends_well(process, postgres, "a")


def test_two_first_runs_make_the_tables_at_once(
    configured: SimulatorProcess, postgres: PostgresWarehouse, model: list[str]
) -> None:
    """Those of the feeds, and dlt's own."""
    configured.enqueue(APP, [a_reply("a")])
    postgres.execute("create schema sms")
    with postgres.session() as other:
        for statement in model:
            other.execute(statement)
        process = start_until_it_waits(postgres, "CREATE TABLE")
    assert_ends_well(process, postgres, "a")


def test_two_first_runs_that_make_the_tables_in_another_order(
    configured: SimulatorProcess, postgres: PostgresWarehouse, model: list[str]
) -> None:
    """Each waits for the other, and PostgreSQL ends one of them, which does it again."""
    configured.enqueue(APP, [a_reply("a")])
    postgres.execute(
        "create schema sms",
        *(statement for statement in model if "_dlt_version" in statement),
        f"alter database {postgres.server.database} set deadlock_timeout = '{DEADLOCK_SECONDS}s'",
    )
    with postgres.session() as other:
        other.execute("set deadlock_timeout = '60s'")
        other.execute("lock table sms._dlt_version in exclusive mode")
        process = start_until_it_waits(postgres, "INSERT INTO")  # it has made its tables by now
        for statement in model:
            if "_dlt_version" not in statement:
                other.execute(statement)
    assert_ends_well(process, postgres, "a")


def test_a_column_that_both_bring(
    configured: SimulatorProcess, postgres: PostgresWarehouse, job: Job
) -> None:
    """The API has a new field, and the other job met it just now."""
    configured.enqueue(APP, [a_reply("a")])
    assert job("--destination", "postgres")[0] == 0
    configured.enqueue(APP, [a_reply("b", Tomorrow="new")])
    with postgres.session() as other:
        other.execute("alter table sms.replies add column tomorrow varchar")
        process = start_until_it_waits(postgres, "ALTER TABLE")
    assert_ends_well(process, postgres, "a", "b")
    assert postgres.query("select tomorrow from sms.replies order by 1") == [("new",), (None,)]


def test_views_that_both_make(configured: SimulatorProcess, postgres: PostgresWarehouse, job: Job) -> None:
    """The view of the one that was first is there: nobody is warned that it was not made."""
    configured.enqueue(APP, [a_reply("a")])
    assert job("--destination", "postgres")[0] == 0
    view = "'sms.unique_replies'::regclass"
    ((made, comment),) = postgres.query(
        f"select pg_get_viewdef({view}), quote_literal(obj_description({view}, 'pg_class'))"
    )
    configured.enqueue(APP, [a_reply("b")])
    postgres.execute("drop view sms.unique_replies cascade")
    with postgres.session() as other:
        other.execute(f"create view sms.unique_replies as {made}")
        other.execute(f"comment on view sms.unique_replies is {comment}")
        process = start_until_it_waits(postgres, "create or replace view")
    assert_ends_well(process, postgres, "a", "b")
    assert postgres.query("select count(*) from sms.campaigns") == [(1,)]
