"""The main job into a real MariaDB, by SQLAlchemy and PyMySQL: everything once, and whole."""

import dataclasses
from datetime import timezone

import dlt
import pytest

from sms_source import forget, sms_source
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Job, Rows, a_reply
from tests.crash.harness import Options
from tests.crash.harness import run as run_crash_harness
from tests.helpers.jobs import start_job, wait_until
from tests.helpers.replies import ALL_FIELDS, as_rows, canonical, everything_people_write
from tests.helpers.spellings import assert_forgotten
from tests.mariadb.conftest import MariaServer

TO_MARIADB = ("--destination", "sqlalchemy")
TEXTS = ["长" * 100_000, "", " ", "a", "A", "a ", "é", "e\u0301", "😀", "👍", "\\N", "\\", "'", "%s", "退订"]


def rows(mariadb: MariaServer) -> Rows:
    """Return what is in the table, with the times as what they are: UTC."""
    found = mariadb.execute(ALL_FIELDS)
    return [(app, time.replace(tzinfo=timezone.utc), *texts) for app, time, *texts in found]


def test_every_field_of_every_reply_lands_once(
    configured: SimulatorProcess, mariadb: MariaServer, job: Job
) -> None:
    """What people write arrives whole, though the server's own character set is Latin-1."""
    records = [*everything_people_write(1_000, seed=8), *(a_reply(text, SignName=text) for text in TEXTS)]
    configured.enqueue(APP, records)
    held = [{**record, "ReplyContent": record["ReplyContent"].replace("\0", "\ufffd")} for record in records]
    for arguments in ((), (), ("--replay",)):
        assert job(*TO_MARIADB, *arguments)[0] == 0
        assert canonical(rows(mariadb)) == canonical(as_rows(APP, held))
    distinct = mariadb.execute("select count(distinct reply_content) from sms.replies")
    # To MariaDB, spaces at the end of a text tell it from no other.
    assert distinct == [(len({record["ReplyContent"].rstrip(" ") for record in held}),)]


def test_a_pipeline_of_one_s_own_makes_the_same_tables(
    configured: SimulatorProcess, mariadb: MariaServer
) -> None:
    """The source sees to it, whoever runs it; so does an API that adds a field."""
    for text in ("😀", "长" * 100_000):
        configured.enqueue(APP, [a_reply(text, Tomorrow=text)] if text != "😀" else [a_reply(text)])
        dlt.pipeline("own", destination="sqlalchemy", dataset_name="sms").run(sms_source())
    assert mariadb.execute("select max(length(reply_content)), max(length(tomorrow)) from sms.replies") == [
        (300_000, 300_000)
    ]


def test_a_merge_finds_its_rows_by_an_index(
    configured: SimulatorProcess, mariadb: MariaServer, job: Job
) -> None:
    """Otherwise 50,000 rows into 50,000 would be compared with each other, for hours."""
    configured.enqueue(APP, [a_reply("a")] * 300)
    assert job(*TO_MARIADB)[0] == 0
    ((staging,),) = mariadb.execute("show databases like 'sms_staging_%'")
    delete = f"delete from sms.replies where (reply_id) in (select reply_id from {staging}.replies)"
    plan = mariadb.execute(f"explain {delete}")
    assert plan[-1][2] == "replies"
    assert plan[-1][5] == "replies_key", plan


def test_forgetting_one_person_leaves_the_others(
    configured: SimulatorProcess, mariadb: MariaServer, job: Job
) -> None:
    """To MySQL `||` is an OR; a number in parts is found all the same."""
    gone = a_reply("gone", PhoneNumber="x", CountryCode="86", SubscriberNumber="13712345678")
    configured.enqueue(APP, [gone, a_reply("stays")])
    assert job(*TO_MARIADB)[0] == 0
    forget("+8613712345678", destination="sqlalchemy")
    assert mariadb.execute("select reply_content from sms.replies") == [("stays",)]
    assert mariadb.execute("select replies from sms.erasures") == [(1,)]


def test_a_person_is_forgotten_however_their_number_is_spelt(
    configured: SimulatorProcess, mariadb: MariaServer, job: Job
) -> None:
    """With separators, in full-width digits, with 00 for the plus; what others have is left."""

    def load() -> None:
        assert job(*TO_MARIADB)[0] == 0

    def contents() -> list[str]:
        return [text for (text,) in mariadb.execute("select reply_content from sms.replies order by 1")]

    assert_forgotten(configured, load, contents, "sqlalchemy")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("charset=latin1", "character_set_client is 'latin1'"),
        ("sql_mode=NO_ENGINE_SUBSTITUTION", "sql_mode is 'NO_ENGINE_SUBSTITUTION'"),
    ],
)
def test_a_session_that_can_not_keep_what_it_gets_is_refused_before_the_first_pull(
    configured: SimulatorProcess,
    mariadb: MariaServer,
    job: Job,
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
    message: str,
) -> None:
    """The first emoji would stop every later load; a value that does not fit would be cut in silence."""
    monkeypatch.setenv("DESTINATION__SQLALCHEMY__CREDENTIALS", f"{mariadb.url}?{setting}")
    configured.enqueue(APP, [a_reply("😀")])
    for arguments in (["--check"], []):
        status, _, err = job(*TO_MARIADB, *arguments)
        assert status == 2
        assert message in err
        assert "not-a-secret" not in err
    assert configured.stats().pulls == 0


def test_what_the_server_still_does_for_a_killed_job_does_not_meet_the_next_run(
    configured: SimulatorProcess, mariadb: MariaServer, job: Job
) -> None:
    """A killed client's statement goes on until it ends; without a commit, nothing is left of it."""
    configured.enqueue(APP, [a_reply("a")])
    assert job(*TO_MARIADB)[0] == 0
    configured.enqueue(APP, [a_reply("b")] * 300)
    holder = mariadb.connect()
    with holder.cursor() as cursor:
        cursor.execute("select * from sms.replies for update")
        waiting = "select count(*) from information_schema.innodb_trx where trx_state = 'LOCK WAIT'"
        jobs = []
        for number in (1, 2):
            jobs.append(start_job(*TO_MARIADB))
            wait_until(lambda: mariadb.execute(waiting) == [(number,)] or jobs[-1].poll() is not None)  # noqa: B023
            if number == 1:
                jobs[0].kill()
                jobs[0].wait()
        assert mariadb.execute(waiting) == [(2,)]
    holder.close()
    assert jobs[1].wait() == 0
    assert sorted(text for (text,) in mariadb.execute("select reply_content from sms.replies")) == [
        "a",
        *"b" * 300,
    ]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(Options(kills=10, replays=0.3, heal=True, receipts=True), id="one job"),
        pytest.param(Options(kills=6, jobs=2, same_name=True), id="two jobs"),
        pytest.param(Options(kills=4, new_dataset=True), id="before the dataset exists"),
    ],
)
def test_kills_lose_and_double_nothing(mariadb: MariaServer, options: Options) -> None:
    """SIGKILL at moments of the job's life, and each reply is there once."""
    report = run_crash_harness(dataclasses.replace(options, destination="sqlalchemy", seed=20_261_124))
    print(report)
    assert not report.violations, str(report)
    assert report.kills >= options.kills
    assert report.counts["loaded"] + report.counts["lost in flight"] == report.counts["enqueued"]
