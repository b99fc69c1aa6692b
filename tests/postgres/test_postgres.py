"""The main job into a real PostgreSQL: everything, once, whatever is killed on the way."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from sms_source.cli import main
from sms_source.journal.journal import Journal
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, OTHER_APP, Job, a_reply
from tests.crash.harness import Options
from tests.crash.harness import run as run_crash_harness
from tests.helpers.jobs import start_job, wait_until
from tests.helpers.journals import read_all
from tests.helpers.replies import ALL_FIELDS, as_rows, canonical, everything_people_write
from tests.postgres.conftest import PostgresWarehouse

NUL_TEXT = "before\0after"
POSTGRES_TEXT = "before\ufffdafter"

AWKWARD = [
    *("", " ", "\\N", "\\", "\\.", "NULL", "null", '"', '""', "'", "''", ",", ";", "\t", "\n", "\r", "\r\n"),
    *("a\n\\.\nb", 'x","y', "$1 %s {} %(a)s", "E'\\n'", "\\x41", "\\u0041", "-- c", "/* c */", "💬"),
    *("\u0301", "\ufeff", "\ufffe", "\uffff", "\U0010ffff", "\x01\x1b\x7f\x80\x9f", "長" * 100_000),
]


def held(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return records as PostgreSQL can hold them."""
    return [
        {
            name: value.replace("\0", "\ufffd") if isinstance(value, str) else value
            for name, value in r.items()
        }
        for r in records
    ]


def is_being_loaded(dlt_folder: Path) -> bool:
    """Whether a load job of replies has begun."""
    folders = (names for path, _, names in os.walk(dlt_folder) if path.endswith("started_jobs"))
    return any(name.startswith("replies.") for names in folders for name in names)


def test_every_field_of_every_reply_lands_once(
    configured: SimulatorProcess, postgres: PostgresWarehouse, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What people write arrives as they wrote it, and a second run adds nothing."""
    monkeypatch.setenv("SOURCES__SMS_SOURCE__SMS_SDK_APP_IDS", f'["{APP}", "{OTHER_APP}"]')
    expected = []
    for number, app_id in enumerate((APP, OTHER_APP)):
        records = everything_people_write(1_000, number)
        records += [a_reply(text, SignName=text, ExtendCode=text) for text in AWKWARD]
        configured.enqueue(app_id, records)
        expected += as_rows(app_id, held(records))
    status, out, err = job("--destination", "postgres")
    assert (status, err) == (0, "")
    assert f"Loaded {len(expected):,} replies into sms.replies" in out
    assert canonical(postgres.query(ALL_FIELDS)) == canonical(expected)

    status, out, err = job("--destination", "postgres")
    assert (status, err) == (0, "")
    assert out.startswith("No new replies")
    assert postgres.query("select count(*), count(distinct reply_id) from sms.replies") == [
        (len(expected),) * 2
    ]


def test_the_tables_have_postgresql_s_own_types(
    configured: SimulatorProcess, postgres: PostgresWarehouse, job: Job
) -> None:
    """Queries written on the first day work, with time zones, before the first reply."""
    assert job("--destination", "postgres")[0] == 0
    types: dict[str, str] = dict(
        postgres.query(
            "select table_name || '.' || column_name, data_type from information_schema.columns "
            "join information_schema.tables using (table_schema, table_name) "
            "where table_schema = 'sms' and table_type = 'BASE TABLE' and table_name !~ '^_dlt'"
        )
    )
    assert len(types) == 16 + 12 + 9
    assert types["replies.reply_time"] == types["pulls.requested_at"] == "timestamp with time zone"
    assert types["replies.reply_content"] == "character varying"
    assert types["pulls.at_risk"] == types["rejected_records.position"] == "bigint"


def test_a_nul_character_poisons_nothing(
    configured: SimulatorProcess, postgres: PostgresWarehouse, job: Job, own_folders: Path
) -> None:
    """PostgreSQL can't hold it: U+FFFD stands there in every text, and the journal has what was written."""
    fields = dict.fromkeys(("SignName", "Tomorrow"), NUL_TEXT)
    no_json = b'{"ReplyContent": "\0"}'
    configured.enqueue(APP, [a_reply(NUL_TEXT, **fields), no_json, a_reply("after")])
    status, _, err = job("--destination", "postgres")
    assert (status, err) == (0, "")
    rows = postgres.query("select reply_content, sign_name, tomorrow from sms.replies order by reply_id")
    assert rows == [(POSTGRES_TEXT,) * 3, ("after", "Tencent Cloud", None)]
    assert postgres.query("select record from sms.rejected_records") == [('{"ReplyContent": "\ufffd"}',)]

    (pull,) = read_all(Journal(str(own_folders / "sms_journal")))
    assert no_json in pull.body
    assert pull.records[0]["ReplyContent"] == NUL_TEXT


def test_a_server_that_is_killed_in_the_middle_of_a_load_costs_nothing(
    configured: SimulatorProcess, postgres: PostgresWarehouse, job: Job, own_folders: Path
) -> None:
    """The run says what happened and ends with 1; the next one, with the server back, loads all, once."""
    records = [a_reply(str(number)) for number in range(20_000)]
    configured.enqueue(APP, records)
    process = start_job("--destination", "postgres")
    wait_until(lambda: is_being_loaded(own_folders.parent / "dlt"))
    postgres.server.kill()
    try:
        out, err = process.communicate()
    finally:
        postgres.server.start()
    assert (process.returncode, out) == (1, "")
    assert "Traceback" not in err
    assert "The destination does not answer" in err.splitlines()[-1]
    assert "the next run loads it once" in err.splitlines()[-1]
    assert "not-a-secret" not in err

    configured.enqueue(APP, [a_reply("new")])
    assert job("--destination", "postgres")[0] == 0
    assert sorted(postgres.contents()) == sorted(
        record["ReplyContent"] for record in [*records, a_reply("new")]
    )
    assert postgres.query("select sum(records)::int from sms.pulls") == [(20_001,)]


def test_a_server_that_is_not_there_takes_no_reply_from_anyone(
    configured: SimulatorProcess, postgres: PostgresWarehouse, job: Job
) -> None:
    """--check tells it; a run keeps what it pulled, and the next one loads it."""
    configured.enqueue(APP, [a_reply("a")])
    postgres.server.kill()
    try:
        for arguments in (["--check"], []):
            status, _, err = job("--destination", "postgres", *arguments)
            assert status == 1
            assert "The destination does not answer" in err.splitlines()[-1]
    finally:
        postgres.server.start()
    assert job("--destination", "postgres")[0] == 0
    assert postgres.contents() == ["a"]


def test_a_quiet_run_does_not_ask_the_database(
    configured: SimulatorProcess, postgres: PostgresWarehouse, job: Job, own_folders: Path
) -> None:
    """With nothing to load it ends well without one, whatever has changed in the current directory."""
    configured.enqueue(APP, [a_reply("a")])
    assert job("--destination", "postgres")[0] == 0
    (own_folders / "something new").touch()
    postgres.server.kill()
    try:
        status, out, err = job("--destination", "postgres")
    finally:
        postgres.server.start()
    assert (status, err) == (0, "")
    assert out.startswith("No new replies")


def test_the_views_and_the_page_answer_from_postgresql(
    configured: SimulatorProcess, postgres: PostgresWarehouse, job: Job, own_folders: Path
) -> None:
    """The job has made the views, and anybody's query finds them; the page is of the same people."""
    now = int(time.time())
    no_more = a_reply("STOP", PhoneNumber="+12025550123", CountryCode="1", ReplyTime=now)
    configured.enqueue(APP, [a_reply("Great!", ReplyTime=now), no_more])
    status, out, _ = job("--destination", "postgres")
    assert status == 0
    assert "select phone_number, sign_name, keyword, opted_out_at, honour_by from sms.opt_outs" in out
    opt_outs = "select phone_number, keyword, rule, blocked_by_tencent from sms.opt_outs"
    assert postgres.query(opt_outs) == [("+12025550123", "STOP", "10 business days", False)]
    assert postgres.query("select replies, people, opted_out from sms.campaigns") == [(2, 2, 1)]
    assert postgres.query("select keyword, people from sms.answers") == [("GREAT", 1)]
    hours = postgres.query("select sum(replies)::int from sms.reply_hours")
    assert hours == [(2,)]

    assert main(["report", "--destination", "postgres", "--output", "page.html"]) == 0
    page = (own_folders / "page.html").read_text(encoding="utf-8")
    assert "Great!" in page
    assert "+1202****" in page
    assert "2025550123" not in page


def test_replay_loads_into_a_dataset_that_is_new_and_makes_a_table_that_was_dropped(
    configured: SimulatorProcess, postgres: PostgresWarehouse, job: Job
) -> None:
    """What dlt notes of the tables is in a table as well, which may be missing."""
    configured.enqueue(APP, [a_reply("a")])
    assert job("--destination", "postgres")[0] == 0
    assert job("--destination", "postgres", "--dataset", "again", "--replay")[0] == 0
    postgres.execute("drop table again.replies cascade")
    assert job("--destination", "postgres", "--dataset", "again", "--replay")[0] == 0
    assert postgres.query("select reply_content from again.replies") == [("a",)]
    assert postgres.contents() == ["a"]


def test_a_wrong_password_is_named_and_not_shown(
    configured: SimulatorProcess, postgres: PostgresWarehouse, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The most frequent mistake with a database."""
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS__PASSWORD", "guessed-0123456789")
    status, _, err = job("--destination", "postgres", "--check")
    assert status == 1
    assert "password authentication failed" in err
    assert "guessed-0123456789" not in err


def test_kills_of_the_job_lose_and_double_nothing(postgres: PostgresWarehouse) -> None:
    """SIGKILL at ten moments of the job's life, and each reply is in PostgreSQL once."""
    report = run_crash_harness(Options(kills=10, seed=20_261_122, heal=True, destination="postgres"))
    assert report.kills >= 10
    assert not report.violations, str(report)
    assert report.counts["loaded"] > 0
