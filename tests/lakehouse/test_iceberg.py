"""Replies as Iceberg tables, with a catalog in an SQL database, read by DuckDB, which knows no dlt."""

import json
import time
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from duckdb_extensions import import_extension
from pyiceberg.catalog import load_catalog

from sms_source import forget, load, sms_source
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Job, Rows, a_reply
from tests.helpers.replies import as_rows, canonical, everything_people_write
from tests.lakehouse.conftest import FIELDS, TO_FILES
from tests.lakehouse.crash import CATALOG, catalog_beside
from tests.lakehouse.crash import run as run_crash_harness


class Iceberg:
    """Iceberg tables in a folder, and what is in them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.catalog = catalog_beside(folder)

    def table(self, name: str) -> Any:
        """Return the newest version of a table, as the catalog names it."""
        return load_catalog("default", **self.catalog).load_table(f"sms.{name}")

    def rows(self, name: str, *columns: str) -> Rows:
        """Rows of a table, of these columns, read by DuckDB from the files that the catalog names."""
        with duckdb.connect() as connection:
            for extension in ("avro", "iceberg"):
                import_extension(extension, con=connection)
                connection.load_extension(extension)
            connection.execute("set timezone = 'UTC'")
            metadata = self.table(name).metadata_location.removeprefix("file://")
            return connection.execute(
                f"select {', '.join(columns)} from iceberg_scan('{metadata}')"
            ).fetchall()


@pytest.fixture
def iceberg(own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> Iceberg:
    """Provide an empty folder with a catalog, and dlt's configuration in the environment pointing to them."""
    monkeypatch.setenv("HOME", str(own_folders))
    (own_folders / "lake").mkdir()
    tables = Iceberg(own_folders / "lake" / "tables")
    monkeypatch.setenv("DESTINATION__FILESYSTEM__BUCKET_URL", str(tables.folder))
    monkeypatch.setenv(CATALOG, json.dumps(tables.catalog))
    return tables


def test_every_field_of_every_reply_lands_once(
    configured: SimulatorProcess, iceberg: Iceberg, job: Job
) -> None:
    """What people write arrives as they wrote it; a second run and a replay add nothing."""
    records = everything_people_write(2_000, seed=5)
    configured.enqueue(APP, records)
    told = f"The data is in file://{iceberg.folder}/sms, a folder of Iceberg tables."
    for arguments in ((), (), ("--replay",)):
        status, out, err = job(*TO_FILES, *arguments)
        assert (status, err) == (0, "")
        assert told in out or "nothing to load." in out
        assert canonical(iceberg.rows("replies", *FIELDS)) == canonical(as_rows(APP, records))
    assert iceberg.rows("pulls", "sum(records)") == [(2_000,)]


def test_a_field_that_the_api_adds_becomes_a_column(
    configured: SimulatorProcess, iceberg: Iceberg, job: Job
) -> None:
    """As in every other destination."""
    for record in (a_reply("old"), a_reply("new", ChannelType="rcs")):
        configured.enqueue(APP, [record])
        assert job(*TO_FILES)[0] == 0
    found = iceberg.rows("replies", "reply_content", "channel_type")
    assert sorted(found) == [("new", "rcs"), ("old", None)]


@pytest.mark.parametrize(
    ("catalog", "reason"),
    [
        (None, "catalog of its Iceberg tables is gone with the process"),
        ({"type": "sql", "uri": "sqlite//nowhere/catalog.db"}, "catalog can't be opened"),
    ],
)
def test_a_catalog_that_does_not_keep_the_tables_is_refused(
    configured: SimulatorProcess,
    own_folders: Path,
    monkeypatch: pytest.MonkeyPatch,
    catalog: dict[str, str] | None,
    reason: str,
) -> None:
    """Before the first pull, with the reason and what to configure."""
    if catalog:
        monkeypatch.setenv(CATALOG, json.dumps(catalog))
    monkeypatch.setenv("HOME", str(own_folders))
    configured.enqueue(APP, [a_reply("waits")])
    lake = dlt.destinations.filesystem(str(own_folders / "lake"))
    with pytest.raises(PipelineStepFailed, match=reason) as caught:
        dlt.pipeline("own", destination=lake, dataset_name="sms").run(sms_source(), table_format="iceberg")
    assert "[iceberg_catalog]" in str(caught.value)
    assert configured.stats().pulls == 0


@pytest.mark.parametrize(
    ("uri", "place", "status"),
    [
        ("postgresql+psycopg2://me:S3cret/x@127.0.0.1:9/cat", "postgresql+psycopg2://127.0.0.1:9/cat", 1),
        ("postgresql+psycopg2://me:S3@cret@127.0.0.1:9/cat", "postgresql+psycopg2://127.0.0.1:9/cat", 1),
        ("http://me:S3%40cret@127.0.0.1:9/cat", "http://127.0.0.1:9/cat", 1),
        ("sqlite:////nowhere/catalog.db", "sqlite:////nowhere/catalog.db", 1),
        ("postgresql+psycopg2://me:S3@cret:x@127.0.0.1:9/cat", "postgresql+psycopg2://127.0.0.1:9/cat", 2),
        ("postgresql//me:S3cret@127.0.0.1:9/cat", "", 2),
        ("http://me:S3#cret@127.0.0.1:9/cat", "http://127.0.0.1:9/cat", 2),
    ],
)
def test_only_a_catalog_that_can_t_be_right_is_a_wrong_configuration(
    configured: SimulatorProcess,
    iceberg: Iceberg,
    job: Job,
    monkeypatch: pytest.MonkeyPatch,
    uri: str,
    place: str,
    status: int,
) -> None:
    """One that is down is exit status 1; the message names the place, and nothing of the password."""
    kind = "rest" if uri.startswith("http") else "sql"
    catalog = {"type": kind, "uri": uri, "warehouse": iceberg.folder.as_uri()}
    monkeypatch.setenv(CATALOG, json.dumps(catalog))
    configured.enqueue(APP, [a_reply("waits")])
    found, out, err = job(*TO_FILES, "--verbose")
    assert found == status
    assert "Iceberg's catalog" in err
    assert place in err
    assert "[iceberg_catalog]" in err
    assert not [part for part in ("S3", "cret") if part in out + err]


def test_one_s_own_pipeline_has_iceberg_tables_where_it_says_so(
    configured: SimulatorProcess, iceberg: Iceberg
) -> None:
    """The source asks for no format of its own."""
    configured.enqueue(APP, [a_reply("mine")])
    pipeline = dlt.pipeline("own", destination="filesystem", dataset_name="sms")
    pipeline.run(sms_source(), table_format="iceberg")
    assert iceberg.rows("replies", "reply_content") == [("mine",)]


def test_forgotten_people_are_in_no_file(configured: SimulatorProcess, iceberg: Iceberg, job: Job) -> None:
    """Their rows go from the newest version, and the older versions' files go with them."""
    number = "+8613800138000"
    theirs = [a_reply("a last word", PhoneNumber=number), a_reply(5, PhoneNumber=number)]
    configured.enqueue(APP, [*theirs, a_reply("I stay")])
    assert job(*TO_FILES)[0] == 0
    done = forget(number, "filesystem")
    assert done.rows == {"replies": 1, "rejected_records": 1}
    assert iceberg.rows("replies", "reply_content") == [("I stay",)]
    assert iceberg.rows("rejected_records", "record") == []
    assert iceberg.rows("erasures", "replies", "rejected_records") == [(1, 1)]
    contents = [content for path in iceberg.folder.rglob("*.parquet") for content in _texts(path)]
    assert "I stay" in contents
    assert "a last word" not in contents


def _texts(path: Path) -> list[Any]:
    with duckdb.connect() as connection:
        rows = connection.execute(f"select * from '{path}'").fetchall()
    return [value for row in rows for value in row]


def test_old_rows_leave_the_tables(configured: SimulatorProcess, iceberg: Iceberg, job: Job) -> None:
    """tables_retention_days holds for them, too; the ledger stays."""
    configured.enqueue(APP, [a_reply("old")])
    assert job(*TO_FILES)[0] == 0
    time.sleep(0.05)
    load("filesystem", replay=True, tables_retention_days=0.01 / 86_400)
    assert iceberg.rows("replies", "reply_content") == []
    assert len(iceberg.rows("pulls", "pull_id")) == 1


def test_kills_of_the_job_lose_and_double_nothing(iceberg: Iceberg) -> None:
    """SIGKILL at six moments of the job's life, and each reply is in the Iceberg tables once."""
    folder = str(iceberg.folder.parent)
    report = run_crash_harness(6, 20_261_130, iceberg.catalog, heal=True, warehouse=folder)
    assert report.kills >= 6
    assert not report.violations, str(report)
    assert report.counts["loaded"] > 0
