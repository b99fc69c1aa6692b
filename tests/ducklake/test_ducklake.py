"""The main job into a DuckLake: everything once, beside other jobs, readers and compaction."""

from functools import partial

import duckdb
import pytest

from sms_source import forget
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Job, a_reply
from tests.crash.harness import Options
from tests.crash.harness import run as run_crash_harness
from tests.ducklake.conftest import CATALOGS, Lake
from tests.helpers.jobs import following, read_until, wait_until
from tests.helpers.pages import blocks, text_of
from tests.helpers.replies import ALL_FIELDS, as_rows, canonical, everything_people_write

TO_LAKE = ("--destination", "ducklake")
NUMBER, OTHER = "+8613712345678", "+8613800138000"


def test_every_field_of_every_reply_lands_once(
    configured: SimulatorProcess, lake: Lake, job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    """What people write arrives as they wrote it, but for NUL; a run more or a replay adds nothing."""
    records = everything_people_write(2_000, seed=9)
    configured.enqueue(APP, records)
    held = [{**record, "ReplyContent": record["ReplyContent"].replace("\0", "\ufffd")} for record in records]
    for arguments, told in (
        ((), "Loaded 2,000 replies into sms.replies"),
        ((), "No new replies"),
        (("--replay",), "Loaded 2,000 replies"),
    ):
        status, out, _ = job(*TO_LAKE, *arguments)
        assert status == 0
        assert told in out
        assert canonical(lake.query(ALL_FIELDS)) == canonical(as_rows(APP, held))
    assert lake.query("select count(distinct reply_id) from sms.replies") == [(2_000,)]
    assert not caplog.records


def test_the_views_answer(configured: SimulatorProcess, lake: Lake, job: Job) -> None:
    """Whoever attaches the lake finds the decision, not the log."""
    configured.enqueue(APP, [a_reply("STOP", PhoneNumber="+12025550123", CountryCode="1"), a_reply("ok")])
    assert job(*TO_LAKE)[0] == 0
    assert lake.query("select phone_number, keyword from sms.opt_outs") == [("+12025550123", "STOP")]


def test_a_new_field_and_a_dropped_table_are_made_by_the_next_load(
    configured: SimulatorProcess, lake: Lake, job: Job
) -> None:
    """The table gets the column, and a replay makes what somebody dropped."""
    for fields in ({}, {"Tomorrow": "x"}):
        configured.enqueue(APP, [a_reply(**fields)])
        assert job(*TO_LAKE)[0] == 0
    lake.query("drop table sms.replies")
    assert job(*TO_LAKE, "--replay")[0] == 0
    assert lake.query("select tomorrow from sms.replies order by 1") == [("x",), (None,)]


def succeeds(lake: Lake, maintenance: list[str]) -> bool:
    """Maintain a lake, as the operations page does; return whether it met no commit of the job's."""
    try:
        lake.query(*maintenance)
    except duckdb.Error as error:
        if "conflict" in str(error) or "database is locked" in str(error):
            return False
        raise
    return True


def test_the_operations_page_compacts_and_expires_beside_the_job(
    configured: SimulatorProcess, lake: Lake, job: Job
) -> None:
    """Small files become large ones and old snapshots go, while each load is there once."""
    (statements,) = (block for block in blocks(text_of("docs/operations.md"), "sql") if "ducklake_" in block)
    maintenance = statements.replace("interval '7 days'", "interval '0 days'").split(";")
    texts = [str(number) for number in range(40)]
    with following(*TO_LAKE, "--follow", "0.1") as follower:
        configured.enqueue(APP, [a_reply("first")])
        read_until(follower, "Loaded 1 reply")
        for begin in range(0, 40, 10):
            configured.enqueue(APP, [a_reply(text) for text in texts[begin : begin + 10]])
            wait_until(partial(succeeds, lake, maintenance))
    _, err = follower.communicate()
    assert follower.returncode == 0, err
    assert job(*TO_LAKE)[0] == 0
    assert lake.contents() == sorted(["first", *texts])
    lake.query(*maintenance)
    assert lake.contents() == sorted(["first", *texts])
    assert lake.query("select count(*) from ducklake_snapshots('lake')")[0][0] <= 2


def test_forgetting_a_person_tells_what_stays_and_what_ends_it(
    configured: SimulatorProcess, lake: Lake, job: Job
) -> None:
    """A DuckLake keeps what is deleted; after the statements of the privacy page nothing holds the person."""
    for count in (2, 200):  # rows in the catalog, and in files
        texts = [str(number) for number in range(count)]
        configured.enqueue(APP, [a_reply(text, PhoneNumber=n) for text in texts for n in (NUMBER, OTHER)])
        assert job(*TO_LAKE)[0] == 0
    done = forget(NUMBER, "ducklake")
    assert done.rows["replies"] == 202
    (told,) = (place for place in done.not_reached if "DuckLake" in place)
    (statements,) = (block for block in blocks(text_of("docs/privacy.md"), "sql") if "ducklake_" in block)
    for statement in filter(None, map(str.strip, statements.split(";"))):
        assert statement.removeprefix("call ").partition("(")[0] in told
    assert NUMBER in lake.everything()
    lake.query(*statements.split(";"))
    assert NUMBER not in lake.everything()
    assert lake.query("select phone_number, count(*) from sms.replies group by 1") == [(OTHER, 202)]


@pytest.mark.timeout(1200)  # each run opens the lake several times, at half a second each
@pytest.mark.parametrize(
    ("lake", "options"),
    [
        pytest.param(CATALOGS[0], Options(kills=3, replays=0.5, heal=True, warehouse="lake"), id="one job"),
        pytest.param(CATALOGS[1], Options(kills=3, jobs=2), id="two jobs"),
    ],
    indirect=["lake"],
)
def test_kills_lose_and_double_nothing(lake: Lake, options: Options) -> None:
    """SIGKILL at moments of the job's life, and each reply is in the lake once."""
    options.destination, options.seed = "ducklake", 20_261_124
    report = run_crash_harness(options)
    print(report)
    assert not report.violations, str(report)
    assert report.kills >= options.kills
    assert report.counts["loaded"] + report.counts["lost in flight"] == report.counts["enqueued"]
