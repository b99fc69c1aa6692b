"""Replies as Delta tables, written by the main job and read by a distributed engine that knows no dlt.

Spark reads a Delta table through a jar, which is in no Python package, so these tests do without: the
table's own log says which Parquet files are its newest version, and those are read by Spark's own reader.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import timezone
from pathlib import Path
from typing import Any

import duckdb
import pytest
from deltalake import DeltaTable

import sms_source
from sms_source.simulator import SimulatorProcess, demo_replies
from tests.conftest import APP, Job, a_reply
from tests.helpers.pages import blocks, text_of
from tests.helpers.replies import as_rows, canonical, everything_people_write
from tests.lakehouse.conftest import EXECUTORS, FIELDS, TO_FILES, Lake, plain
from tests.lakehouse.crash import run as run_crash_harness

NOW = 1_795_000_000
# Where Spark's SQL has another word than DuckDB's.
TRANSLATION = {
    "sms.replies": "replies",
    "trim(reply_content,": "btrim(reply_content,",
    "regexp_full_match(reply_content, '[1-5]')": "reply_content rlike '^[1-5]$'",
}

QUERIES = (
    """
    select phone_number, max(reply_time) as opted_out_at
    from sms.replies
    where keyword in ('T', 'TD', 'STOP', 'UNSUBSCRIBE', '退订')
    group by phone_number
    order by opted_out_at desc, phone_number
    """,
    """
    with votes as (
        select extend_code, phone_number, cast(keyword as int) as score, reply_time
        from sms.replies
        where keyword in ('1', '2', '3', '4', '5')
        qualify row_number() over (
            partition by extend_code, phone_number order by reply_time desc, reply_id
        ) = 1
    )
    select extend_code, count(*) as votes, round(avg(score), 2) as average
    from votes
    group by extend_code
    order by votes desc, extend_code
    """,
    """
    select date_trunc('hour', reply_time) as hour, sign_name, count(*) as replies
    from sms.replies
    group by all
    order by hour desc, replies desc, sign_name
    """,
)
"""Questions that Spark answers as DuckDB does."""


def translated(query: str) -> str:
    """Return a query of the README in Spark's SQL."""
    for phrase, other in TRANSLATION.items():
        query = query.replace(phrase, other)
    return query


# Spark says so of pandas 3, which is not used here.
@pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas")
def test_spark_answers_the_readme_s_queries_as_duckdb_does(
    configured: SimulatorProcess,
    lake: Lake,
    spark: Any,
    job: Job,
    own_folders: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same replies by two runs of the job into DuckDB and into Delta tables: the answers agree."""
    monkeypatch.setenv("TZ", "UTC")
    batches = [demo_replies(2_000, seed=seed, now=NOW + 86_400 * seed) for seed in range(3)]
    for journal, arguments in (("lake_journal", TO_FILES), ("duckdb_journal", ())):
        monkeypatch.setenv("SOURCES__SMS_SOURCE__JOURNAL_URL", str(own_folders / journal))
        for batch in batches:
            configured.enqueue(APP, batch)
            assert job(*arguments)[0] == 0

    table_folder = lake.folder / "sms" / "replies"
    files = lake.live_files("replies")
    replies = spark.read.option("basePath", str(table_folder)).parquet(*files)
    replies.createOrReplaceTempView("replies")
    assert replies.count() == 6_000
    assert len(executors_that_read(replies)) == EXECUTORS
    with duckdb.connect("sms_replies.duckdb") as connection:
        connection.execute("set timezone = 'UTC'")
        for query in QUERIES:
            answer = connection.execute(query).fetchall()
            found = [tuple(row) for row in spark.sql(translated(query)).collect()]
            assert len(found) > 1
            assert plain(found) == plain(answer), query


def executors_that_read(frame: Any) -> set[int]:
    """Return the process of each executor that had a part of the rows: what its Python was forked from."""

    def parent(rows: Iterator[Any]) -> Iterator[int]:
        if any(True for _ in rows):
            yield os.getppid()

    return set(frame.rdd.mapPartitions(parent).collect())


def test_every_field_of_every_reply_lands_once(configured: SimulatorProcess, lake: Lake, job: Job) -> None:
    """What people write arrives as they wrote it, NUL included; a second run adds nothing."""
    records = everything_people_write(2_000, seed=5)
    configured.enqueue(APP, records)
    told = f"The data is in file://{lake.folder}/sms, a folder of Delta tables."
    for last_line in (told, "nothing to load."):
        status, out, err = job(*TO_FILES)
        assert (status, err) == (0, "")
        assert out.rstrip().endswith(last_line)
        assert canonical(lake.rows("replies", *FIELDS)) == canonical(as_rows(APP, records))
    ids = lake.rows("replies", "reply_id")
    assert len(set(ids)) == len(ids)


def test_replies_are_in_folders_by_their_date(configured: SimulatorProcess, lake: Lake, job: Job) -> None:
    """A query about a day reads that day's folder alone; the day is that of UTC."""
    configured.enqueue(APP, [a_reply(ReplyTime=time) for time in (1, 86_399, 86_400, 1_620_734_188)])
    assert job(*TO_FILES)[0] == 0
    assert lake.table("replies").metadata().partition_columns == ["reply_date"]
    rows = lake.rows("replies", "reply_date", "reply_time")
    assert all(day == time.astimezone(timezone.utc).date() for day, time in rows)
    folders = sorted(path.name for path in (lake.folder / "sms" / "replies").glob("reply_date=*"))
    assert folders == ["reply_date=1970-01-01", "reply_date=1970-01-02", "reply_date=2021-05-11"]
    assert lake.table("pulls").metadata().partition_columns == []


def test_the_tables_exist_after_the_first_load_of_an_empty_queue(
    configured: SimulatorProcess, lake: Lake, job: Job
) -> None:
    """A reader that is set up on the first day finds the tables, with their columns."""
    assert job(*TO_FILES)[0] == 0
    for name in ("replies", "pulls", "rejected_records"):
        assert lake.table(name).to_pyarrow_table().num_rows == 0
    assert "reply_content" in {field.name for field in lake.table("replies").schema().fields}


def test_a_replay_leaves_each_row_once(
    configured: SimulatorProcess, lake: Lake, spark: Any, job: Job
) -> None:
    """The rows' files are written anew; the table's log says which ones count, and Spark reads those."""
    configured.enqueue(APP, [a_reply(str(number), ReplyTime=NOW) for number in range(250)])
    assert job(*TO_FILES)[0] == 0
    status, out, _ = job(*TO_FILES, "--replay")
    assert status == 0
    assert "Loaded 250 replies" in out
    contents = [content for (content,) in lake.rows("replies", "reply_content")]
    assert sorted(contents) == sorted(map(str, range(250)))
    written = list((lake.folder / "sms" / "replies").rglob("*.parquet"))
    live = lake.live_files("replies")
    assert len(live) < len(written)
    assert spark.read.parquet(*live).count() == 250


def test_a_field_that_the_api_adds_becomes_a_column(
    configured: SimulatorProcess, lake: Lake, job: Job
) -> None:
    """The table's schema follows; the rows of yesterday have null there."""
    for fields in ({}, {"Tomorrow": "x"}):
        configured.enqueue(APP, [a_reply(**fields)])
        assert job(*TO_FILES)[0] == 0
    assert set(lake.rows("replies", "tomorrow")) == {(None,), ("x",)}


def test_the_operations_page_compacts_the_tables(configured: SimulatorProcess, lake: Lake, job: Job) -> None:
    """Each load leaves a file; one a day reads faster, and the next load goes on from there."""
    for content in "abcd":
        configured.enqueue(APP, [a_reply(content)])
        assert job(*TO_FILES)[0] == 0
    assert len(lake.live_files("replies")) == 4
    (code,) = blocks(text_of("docs/operations.md"), "python")
    exec(compile(code, "operations.md", "exec"), {})  # noqa: S102 - our own page
    assert len(lake.live_files("replies")) == 1
    configured.enqueue(APP, [a_reply("e")])
    assert job(*TO_FILES)[0] == 0
    assert sorted(lake.rows("replies", "reply_content")) == [(content,) for content in "abcde"]


def test_forgotten_people_are_in_no_file(configured: SimulatorProcess, lake: Lake, job: Job) -> None:
    """Their rows go, old files with them, and the erasure is noted; a replay does not bring them back."""
    number = "+8613800138000"
    theirs = [a_reply(content, PhoneNumber=number) for content in ("a", "b", 5)]
    configured.enqueue(APP, [*theirs, a_reply("c")])
    assert job(*TO_FILES)[0] == 0
    done = sms_source.forget(number, "filesystem")
    assert done.rows == {"rejected_records": 1, "replies": 2}
    assert lake.rows("replies", "reply_content") == [("c",)]
    assert lake.rows("rejected_records", "record") == []
    assert lake.rows("erasures", "replies", "rejected_records", "journal_records") == [(2, 1, 3)]
    assert job(*TO_FILES, "--replay")[0] == 0
    assert lake.rows("replies", "reply_content") == [("c",)]
    files = list(lake.folder.rglob("*.parquet"))
    assert files
    assert not [file for file in files if number.encode() in file.read_bytes()]


def test_old_rows_leave_the_tables(configured: SimulatorProcess, lake: Lake, job: Job) -> None:
    """tables_retention_days holds for them, too; the ledger stays."""
    configured.enqueue(APP, [a_reply("old")])
    assert job(*TO_FILES)[0] == 0
    time.sleep(0.05)
    sms_source.load("filesystem", replay=True, tables_retention_days=0.01 / 86_400)
    assert lake.rows("replies", "reply_content") == []
    assert len(lake.rows("pulls", "pull_id")) == 1


def test_kills_of_the_job_lose_and_double_nothing(lake: Lake) -> None:
    """SIGKILL at ten moments of the job's life, and each reply is in the Delta tables once."""
    report = run_crash_harness(kills=10, seed=20_261_122, heal=True, warehouse=str(lake.folder))
    assert report.kills >= 10
    assert not report.violations, str(report)
    assert report.counts["loaded"] > 0


def test_delta_tables_in_an_object_store(
    configured: SimulatorProcess, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bucket instead of a folder: the same tables, by dlt's configuration alone."""
    from tests.s3.conftest import S3Server

    server = S3Server()
    try:
        server.files().mkdir("lake")
        credentials = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "REGION_NAME": "us-east-1"}
        for name, value in {**credentials, "ENDPOINT_URL": server.url}.items():
            monkeypatch.setenv(f"DESTINATION__FILESYSTEM__CREDENTIALS__{name}", value)
        monkeypatch.setenv("DESTINATION__FILESYSTEM__BUCKET_URL", "s3://lake/of/replies")
        records = everything_people_write(300, seed=6)
        for part in (records[:150], records[150:], []):
            configured.enqueue(APP, part)
            status, _, err = job(*TO_FILES)
            assert (status, err) == (0, "")
        options = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "us-east-1"}
        options |= {"AWS_ENDPOINT_URL": server.url, "AWS_ALLOW_HTTP": "true"}
        table = DeltaTable("s3://lake/of/replies/sms/replies", storage_options=options).to_pyarrow_table()
        rows = list(zip(*(table[field].to_pylist() for field in FIELDS), strict=True))
        assert canonical(rows) == canonical(as_rows(APP, records))
    finally:
        server.stop()


def test_kills_of_two_jobs_into_one_folder_lose_and_double_nothing(lake: Lake) -> None:
    """Whose commit meets the other's ends with 1, and loads it the next time."""
    report = run_crash_harness(kills=6, seed=20_261_130, jobs=2, same_name=True)
    assert report.kills >= 6
    assert not report.violations, str(report)
    assert report.counts["loaded"] > 0


def _put_back(lake: Lake, yesterday: Path, _versions: dict[str, int]) -> None:
    shutil.rmtree(lake.folder)
    shutil.copytree(yesterday, lake.folder)


def _roll_back(lake: Lake, _yesterday: Path, versions: dict[str, int]) -> None:
    for name, version in versions.items():
        lake.table(name).restore(version)


def _delete(lake: Lake, _yesterday: Path, _versions: dict[str, int]) -> None:
    shutil.rmtree(lake.folder)


@pytest.mark.parametrize("damage", [_put_back, _roll_back, _delete])
def test_a_folder_that_went_back_in_time_is_loaded_again(
    configured: SimulatorProcess,
    lake: Lake,
    job: Job,
    tmp_path: Path,
    damage: Callable[[Lake, Path, dict[str, int]], None],
) -> None:
    """As any other warehouse: --check tells it before, the summary after, and then it is over."""
    configured.enqueue(APP, [a_reply("a")])
    assert job(*TO_FILES)[0] == 0
    yesterday = shutil.copytree(lake.folder, tmp_path / "yesterday")
    versions = {name: lake.table(name).version() for name in ("replies", "pulls")}
    for content in "bc":
        configured.enqueue(APP, [a_reply(content)])
        assert job(*TO_FILES)[0] == 0
    damage(lake, yesterday, versions)
    assert "the next run loads that again" in job(*TO_FILES, "--check")[1]
    configured.enqueue(APP, [a_reply("d")])
    status, out, err = job(*TO_FILES)
    assert (status, err) == (0, "")
    assert "again" in out
    assert sorted(lake.rows("replies", "reply_content")) == [("a",), ("b",), ("c",), ("d",)]
    assert len(lake.rows("pulls", "pull_id")) == 4
    assert "loads that again" not in job(*TO_FILES, "--check")[1]
    assert "again" not in job(*TO_FILES)[1]
