"""A PostgreSQL warehouse that went back in time: what it lacks is loaded again, and nothing else."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Job, a_reply
from tests.helpers.jobs import following, read_until, run_job, start_job, wait_until
from tests.postgres.conftest import PostgresWarehouse

Damage = Callable[[PostgresWarehouse, bytes], None]
POSTGRES = ("--destination", "postgres")


def drop(postgres: PostgresWarehouse, _dump: bytes) -> None:
    """Drop the dataset."""
    postgres.execute("drop schema sms cascade")


def restore(postgres: PostgresWarehouse, dump: bytes) -> None:
    """Put yesterday's dataset in the place of today's."""
    postgres.server.restore(dump, "sms")


def restore_all(postgres: PostgresWarehouse, dump: bytes) -> None:
    """Put yesterday's dataset into a database in which there was nothing else, dlt's staging neither."""
    staging = postgres.query("select nspname from pg_namespace where nspname ~ '^sms_staging_'")
    postgres.execute(*(f"drop schema {name} cascade" for (name,) in staging))
    postgres.server.restore(dump, "sms")


def load(simulator: SimulatorProcess, job: Job, content: str, **fields: str) -> None:
    """Load a reply, in a run of its own."""
    simulator.enqueue(APP, [a_reply(content, **fields)])
    status, _, err = job(*POSTGRES)
    assert (status, err) == (0, "")


@pytest.fixture
def yesterday(configured: SimulatorProcess, postgres: PostgresWarehouse, job: Job) -> bytes:
    """Three replies are loaded, by a run each, and a dump has the first one; the last has a new field."""
    load(configured, job, "a")
    dump = postgres.server.dump("sms")
    load(configured, job, "b")
    load(configured, job, "c", Tomorrow="new")
    return dump


@pytest.mark.parametrize("damage", [drop, restore, restore_all])
def test_what_the_warehouse_lost_is_loaded_again_and_told(
    damage: Damage, configured: SimulatorProcess, postgres: PostgresWarehouse, yesterday: bytes, job: Job
) -> None:
    """--check tells it before, the summary after, the views are there, and then it is over."""
    damage(postgres, yesterday)
    status, out, _ = job(*POSTGRES, "--check")
    assert status == 0
    assert "that had been loaded: the next run loads that again" in out
    configured.enqueue(APP, [a_reply("T", Tomorrow="newer")])
    status, out, err = job(*POSTGRES)
    assert (status, err) == (0, "")
    assert "packages that had been loaded (restored, dropped or deleted since?): loaded again" in out
    assert postgres.contents() == ["T", "a", "b", "c"]
    assert postgres.query("select tomorrow from sms.replies order by reply_content") == [
        ("newer",),
        (None,),
        (None,),
        ("new",),
    ]
    assert postgres.query("select count(*), count(distinct pull_id) from sms.pulls") == [(4, 4)]
    assert postgres.query("select reply_content from sms.opt_outs") == [("T",)]
    assert "loads that again" not in job(*POSTGRES, "--check")[1]


def test_the_run_after_check_heals_although_nobody_answers(
    postgres: PostgresWarehouse, yesterday: bytes, job: Job
) -> None:
    """A quiet run does not ask the database; what --check has found, the next one heals all the same."""
    drop(postgres, yesterday)
    assert "loads that again" in job(*POSTGRES, "--check")[1]
    status, out, _ = job(*POSTGRES)
    assert status == 0
    assert "The destination lacked 3 packages" in out
    assert postgres.contents() == ["a", "b", "c"]
    status, out, _ = job(*POSTGRES)
    assert (status, out.startswith("No new replies")) == (0, True)
    assert "lacked" not in out


@pytest.mark.parametrize("damage", [drop, restore])
def test_a_job_that_follows_heals_what_happens_meanwhile(
    damage: Damage, configured: SimulatorProcess, postgres: PostgresWarehouse, yesterday: bytes
) -> None:
    """It goes on: the next replies come with what was lost, though dlt noted what the tables had."""
    with following(*POSTGRES, "--follow", "0.2") as follower:
        configured.enqueue(APP, [a_reply("d", Tomorrow="new")])
        read_until(follower, "Loaded 1 reply")
        damage(postgres, yesterday)
        configured.enqueue(APP, [a_reply("e", Tomorrow="new")])
        read_until(follower, "The destination lacked")
    _, err = follower.communicate()
    assert (follower.returncode, err.splitlines()[1:]) == (0, []), err
    assert postgres.contents() == ["a", "b", "c", "d", "e"]
    assert postgres.query("select count(*) from sms.replies where tomorrow = 'new'") == [(3,)]


@pytest.mark.parametrize("arguments", [[], ["--replay"]], ids=["a run that heals", "a replay"])
def test_what_a_kill_cuts_off_the_next_run_ends(
    arguments: list[str],
    configured: SimulatorProcess,
    postgres: PostgresWarehouse,
    yesterday: bytes,
    job: Job,
    own_folders: Path,
) -> None:
    """Killed in the middle of its merges: what it gives again counts as not loaded until it is."""
    if not arguments:
        restore(postgres, yesterday)
        configured.enqueue(APP, [a_reply("d")])
    with postgres.session() as holder:
        holder.execute("lock table sms.replies in share mode")
        process = start_job(*POSTGRES, *arguments)
        waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
        wait_until(lambda: postgres.query(waiting) != [(0,)] or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        process.kill()
        process.communicate()
    assert list((own_folders / "sms_journal" / "drains").glob("*.zip"))
    status, out, err = run_job(*POSTGRES)
    assert (status, err) == (0, "")
    assert out.startswith(("Loaded", "The destination lacked"))
    assert postgres.contents() == ["a", "b", "c", *([] if arguments else ["d"])]
    assert job(*POSTGRES)[1].startswith("No new replies")
    assert not list((own_folders / "sms_journal" / "drains").glob("*.zip"))
