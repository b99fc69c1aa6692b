"""The main job into an SQLite file, by SQLAlchemy: everything once, and in linear time."""

import shutil
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sms_source import forget
from sms_source.cli import main
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Job, Rows, a_reply
from tests.helpers.replies import canonical, everything_people_write
from tests.helpers.spellings import assert_forgotten

# What Python has deprecated for the values that are bound to a statement.
pytestmark = pytest.mark.filterwarnings("error:The default datetime adapter")

TO_SQLITE = ("--destination", "sqlalchemy")
FIELDS = (
    *("phone_number", "country_code", "subscriber_number", "sign_name", "extend_code", "reply_content"),
    "reply_time",
)


class Sqlite:
    """The dataset's file: dlt has one for each dataset, beside the database that the URL names."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "sms__sms.db"

    def query(self, sql: str, *values: Any) -> Rows:
        """Rows of a query."""
        with closing(sqlite3.connect(self.path)) as connection, connection:
            return connection.execute(sql, values).fetchall()


@pytest.fixture
def sqlite(own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> Sqlite:
    """Provide a folder for the database, and dlt's configuration in the environment pointing to it."""
    monkeypatch.setenv("DESTINATION__SQLALCHEMY__CREDENTIALS", f"sqlite:///{own_folders / 'sms.db'}")
    return Sqlite(own_folders)


@pytest.fixture
def statements() -> Iterator[dict[sa.Connection, list[str]]]:
    """Return what SQLite is told by each connection, with its commits, in their order."""
    told: dict[sa.Connection, list[str]] = defaultdict(list)

    def execute(connection: sa.Connection, _cursor: Any, statement: str, *_: Any) -> None:
        told[connection].append(statement)

    def commit(connection: sa.Connection) -> None:
        told[connection].append("commit")

    sa.event.listen(sa.Engine, "before_cursor_execute", execute)
    sa.event.listen(sa.Engine, "commit", commit)
    yield told
    sa.event.remove(sa.Engine, "before_cursor_execute", execute)
    sa.event.remove(sa.Engine, "commit", commit)


@pytest.mark.long
def test_every_field_of_every_reply_lands_once(
    configured: SimulatorProcess, sqlite: Sqlite, job: Job
) -> None:
    """What people write arrives as they wrote it, but for NUL, at which SQLite's functions end a text."""
    records = everything_people_write(2_000, seed=7)
    expected = [
        (
            *(record[name] for name in ("PhoneNumber", "CountryCode", "SubscriberNumber", "SignName")),
            record["ExtendCode"],
            record["ReplyContent"].replace("\0", "\ufffd"),
            str(record["ReplyTime"]),
        )
        for record in records
    ]
    seconds = "strftime('%s', reply_time)"
    for told in ("Loaded 2,000 replies into sms.replies", "No new replies", "Loaded 2,000 replies"):
        if told == "No new replies":
            replay: tuple[str, ...] = ()
        else:
            replay = () if "into" in told else ("--replay",)
        if "into" in told:
            configured.enqueue(APP, records)
        status, out, err = job(*TO_SQLITE, *replay)
        assert (status, "Warning" in err) == (0, False)
        assert told in out
        columns = ", ".join((*FIELDS[:-1], seconds))
        assert canonical(sqlite.query(f"select {columns} from replies")) == canonical(expected)
    assert sqlite.query("select count(distinct reply_id), count(*) from replies") == [(2_000, 2_000)]


def test_a_merge_is_one_transaction_that_compares_each_row_once(
    configured: SimulatorProcess, sqlite: Sqlite, job: Job, statements: dict[sa.Connection, list[str]]
) -> None:
    """A kill between DELETE and INSERT costs nothing, and 50,000 rows into 50,000 take seconds."""
    configured.enqueue(APP, [a_reply("a"), a_reply(5)])
    assert job(*TO_SQLITE)[0] == 0
    staging = next(sqlite.path.parent.glob("sms__sms_staging_*.db"))
    for table in ("replies", "pulls", "rejected_records"):
        (merge,) = (
            told[n : n + 3]
            for told in statements.values()
            for n, statement in enumerate(told)
            if statement.startswith(f"DELETE FROM sms.{table} WHERE")
        )
        assert merge[1].startswith(f"INSERT INTO sms.{table}")
        assert merge[2] == "commit"
        with closing(sqlite3.connect(sqlite.path.with_name("sms.db"))) as connection:
            for name, path in (("sms", sqlite.path), (staging.stem.removeprefix("sms__"), staging)):
                connection.execute(f"attach '{path}' as {name}")
            plan = connection.execute(f"explain query plan {merge[0]}").fetchall()
        assert not [step for *_, step in plan if "CORRELATED" in step], plan


@pytest.mark.long
def test_a_new_field_and_a_dropped_table_are_made_by_the_next_load(
    configured: SimulatorProcess, sqlite: Sqlite, job: Job
) -> None:
    """The table gets the column, and a replay makes what somebody dropped."""
    for fields in ({}, {"Tomorrow": "x"}):
        configured.enqueue(APP, [a_reply(**fields)])
        assert job(*TO_SQLITE)[0] == 0
    assert sqlite.query("select tomorrow from replies order by 1") == [(None,), ("x",)]
    sqlite.query("drop table replies")
    assert job(*TO_SQLITE, "--replay")[0] == 0
    assert sqlite.query("select tomorrow from replies order by 1") == [(None,), ("x",)]


def test_a_file_that_was_put_back_is_loaded_again(
    configured: SimulatorProcess, sqlite: Sqlite, job: Job
) -> None:
    """The next run that has something to load asks for the loads that the archive has."""
    configured.enqueue(APP, [a_reply("a")])
    assert job(*TO_SQLITE)[0] == 0
    for path in sqlite.path.parent.glob("sms*.db*"):
        path.unlink()
    configured.enqueue(APP, [a_reply("b")])
    status, out, _ = job(*TO_SQLITE)
    assert status == 0
    assert "The destination lacked" in out
    assert sqlite.query("select reply_content from replies order by 1") == [("a",), ("b",)]


def test_people_are_forgotten_and_old_rows_go(
    configured: SimulatorProcess, sqlite: Sqlite, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What privacy promises of DuckDB holds here, too."""
    configured.enqueue(APP, [a_reply("a", PhoneNumber="+8613712345678"), a_reply("b")])
    assert job(*TO_SQLITE)[0] == 0
    forget("+8613712345678", destination="sqlalchemy")
    assert sqlite.query("select reply_content from replies") == [("b",)]
    assert sqlite.query("select replies from erasures") == [(1,)]
    sqlite.query("update replies set pulled_at = '2020-01-01 00:00:00.000000'")
    monkeypatch.setenv("SOURCES__SMS_SOURCE__TABLES_RETENTION_DAYS", "1")
    configured.enqueue(APP, [a_reply("c")])
    assert job(*TO_SQLITE)[0] == 0
    assert sqlite.query("select reply_content from replies") == [("c",)]


def test_a_person_is_forgotten_however_their_number_is_spelt(
    configured: SimulatorProcess, sqlite: Sqlite, job: Job
) -> None:
    """With separators, in full-width digits, with 00 for the plus; what others have is left."""

    def load() -> None:
        assert job(*TO_SQLITE)[0] == 0

    def contents() -> list[str]:
        return [text for (text,) in sqlite.query("select reply_content from replies order by 1")]

    assert_forgotten(configured, load, contents, "sqlalchemy")


def test_the_staging_file_of_an_earlier_journal_is_named(
    configured: SimulatorProcess, sqlite: Sqlite, job: Job
) -> None:
    """SQLite attaches few files at once, so what is in that one is left to whoever forgets a person."""
    configured.enqueue(APP, [a_reply("a", PhoneNumber="+8613712345678")])
    assert job(*TO_SQLITE)[0] == 0
    (earlier,) = sqlite.path.parent.glob("sms__sms_staging_*.db")
    shutil.rmtree("sms_journal")
    configured.enqueue(APP, [a_reply("b")])
    assert job(*TO_SQLITE)[0] == 0
    done = forget("+8613712345678", destination="sqlalchemy")
    (told,) = (place for place in done.not_reached if "staging" in place)
    assert earlier.stem.removeprefix("sms__") in told


def test_there_are_no_views_and_the_job_says_so(
    configured: SimulatorProcess,
    sqlite: Sqlite,
    job: Job,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Nobody looks for them in vain; what needs views or time zones says so."""
    configured.enqueue(APP, [a_reply("a")])
    assert job(*TO_SQLITE)[0] == 0
    assert "No views are made" in caplog.text
    assert sqlite.query("select name from sqlite_master where type = 'view'") == []
    for command, reason in (("report", "has no views"), ("recover", "know no time zones")):
        assert main([command, *TO_SQLITE]) == 2
        assert reason in capfd.readouterr().err
