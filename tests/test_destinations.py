"""Each destination of dlt: how rows get there once, and where they are refused before the first pull."""

import dataclasses
from pathlib import Path
from typing import Any

import dlt
import dlt.destinations
import pyarrow as pa
import pytest
from dlt.extract import DltSource
from dlt.pipeline.exceptions import PipelineStepFailed

from sms_source import sms_source
from sms_source.errors import ConfigurationError
from sms_source.feeds import REPLIES
from sms_source.loading import destinations
from sms_source.loading.tables import to_tables
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Job, Warehouse, a_reply
from tests.helpers.destinations import decide, new_destination

DELETE_INSERT = (
    *("bigquery", "duckdb", "ducklake", "fabric", "motherduck", "mssql", "postgres", "redshift"),
    *("snowflake", "sqlalchemy"),
)
WITHOUT_TRANSACTIONS = ("clickhouse", "databricks", "dremio", "synapse")
UPSERT_ONLY = ("lance", "lancedb", "qdrant", "weaviate")
WITHOUT_MERGE = ("athena", "destination", "filesystem")
KEEPS_NOTHING = ("dummy",)


def test_every_destination_of_dlt_is_decided_on() -> None:
    """One that a new version of dlt brings must not slip through."""
    decided = (*DELETE_INSERT, *WITHOUT_TRANSACTIONS, *UPSERT_ONLY, *WITHOUT_MERGE, *KEEPS_NOTHING)
    assert sorted(dlt.destinations.__all__) == sorted(decided)


@pytest.mark.parametrize("name", DELETE_INSERT)
def test_databases_get_dlt_s_own_merge(name: str) -> None:
    """delete-insert also takes out what a load that was killed and resumed brings twice."""
    decision = decide(new_destination(name))
    assert set(decision.strategies.values()) == {"delete-insert"}
    assert not decision.partitioned


@pytest.mark.parametrize(
    ("name", "reason", "remedy"),
    [
        *((name, "no transaction", "duckdb") for name in WITHOUT_TRANSACTIONS),
        *((name, "by 'upsert'", "duckdb") for name in UPSERT_ONLY),
        ("athena", "would append", "force_iceberg"),
        ("destination", "would append", "duckdb"),
        ("filesystem", "would append", "table_format='delta'"),
        ("dummy", "keeps nothing", "duckdb"),
    ],
)
def test_a_destination_that_can_not_keep_rows_once_is_refused_unless_named(
    name: str, reason: str, remedy: str
) -> None:
    """The message has the reason, what to configure, and how to accept it all the same."""
    destination = new_destination(name)
    accepted = destination.destination_name
    with pytest.raises(ConfigurationError) as caught:
        decide(destination)
    assert reason in str(caught.value)
    assert remedy in str(caught.value)
    assert f"allow_duplicates_in = {accepted!r}" in str(caught.value)
    with pytest.raises(ConfigurationError):
        decide(destination, accepted="duckdb")
    assert decide(destination, accepted=accepted).kind == name


def test_athena_s_iceberg_tables_are_merged_for_who_accepts_that() -> None:
    """They are SQL tables with dlt's own merge, in two commits."""
    destination = dlt.destinations.athena(query_result_bucket="s3://bucket", force_iceberg=True)
    with pytest.raises(ConfigurationError, match="no transaction"):
        decide(destination)
    assert set(decide(destination, accepted="athena").strategies.values()) == {"delete-insert"}


def test_delta_tables_are_merged_and_partitioned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each load of a table is one commit there; replies are in folders by their date."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    decision = decide(dlt.destinations.filesystem("lake"), "delta")
    assert set(decision.strategies.values()) == {"upsert"}
    assert decision.partitioned


def test_delta_tables_need_deltalake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing packages are told before a reply is pulled, not when it is to be loaded."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"dlt-tencent-sms\[delta\]"):
        decide(dlt.destinations.filesystem("lake"), "delta")


def test_iceberg_tables_without_a_lasting_catalog_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is what a kill does to them, and Delta tables are a way out."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr(destinations, "has_lasting_catalog", lambda: False)
    with pytest.raises(ConfigurationError, match="no later run can open") as caught:
        decide(dlt.destinations.filesystem("lake"), "iceberg")
    assert "table_format='delta'" in str(caught.value)


def test_iceberg_tables_need_pyiceberg(monkeypatch: pytest.MonkeyPatch) -> None:
    """With it, the catalog is looked at: make test-lakehouse has those that last and those that do not."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"dlt-tencent-sms\[iceberg\]"):
        decide(dlt.destinations.filesystem("lake"), "iceberg")


@pytest.mark.parametrize("name", ["duckdb", "filesystem", "postgres", "snowflake"])
def test_a_nul_character_is_replaced_where_it_is_not_known_to_be_held(name: str) -> None:
    """A text that the destination can't hold would stop its package, and all that come after it, for good."""
    destination = destinations.Destination(kind=name)
    tables = to_tables([], [REPLIES], {})
    row = dict.fromkeys(tables.rejected.column_names)
    row |= {"pull_id": "d/1", "request_id": "id\0", "position": 0, "record": '"\0\0"'}
    rejected = pa.Table.from_pylist([row], tables.rejected.schema)
    (fitted,) = destination.fit(dataclasses.replace(tables, rejected=rejected)).rejected.to_pylist()
    held = ("id\0", '"\0\0"') if name in ("duckdb", "filesystem") else ("id\ufffd", '"\ufffd\ufffd"')
    assert (fitted["request_id"], fitted["record"], fitted["reason"]) == (*held, None)


def run(destination: Any, source: DltSource, **arguments: Any) -> None:
    """One run of a pipeline of somebody's own."""
    dlt.pipeline("own", destination=destination, dataset_name="sms").run(source, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "table_format='delta'"),
        ({"write_disposition": "append"}, "write_disposition of replies is 'append'"),
        ({"write_disposition": "replace"}, "write_disposition of replies is 'replace'"),
    ],
)
def test_the_refusal_comes_before_the_first_pull(
    configured: SimulatorProcess, own_folders: Path, arguments: dict[str, Any], message: str
) -> None:
    """A reply that is pulled and can't be loaded once is a reply at risk."""
    configured.enqueue(APP, [a_reply()])
    lake = dlt.destinations.filesystem(str(own_folders / "lake"))
    with pytest.raises(PipelineStepFailed, match="sms_source") as caught:
        run(lake, sms_source(), **arguments)
    assert message in str(caught.value)
    assert configured.stats().pulls == 0
    assert not (own_folders / "sms_journal").exists()


def test_a_strategy_that_doubles_rows_is_refused_in_duckdb_too(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """dlt would take it, and a kill during a load would leave rows twice."""
    configured.enqueue(APP, [a_reply()])
    disposition: Any = {"disposition": "merge", "strategy": "insert-only"}
    with pytest.raises(PipelineStepFailed, match="'insert-only'"):
        warehouse.pipeline().run(sms_source(), write_disposition=disposition)
    assert configured.stats().pulls == 0


def test_a_destination_accepted_by_name_gets_the_replies(
    configured: SimulatorProcess, own_folders: Path
) -> None:
    """Files of JSON lines are what somebody may want."""
    configured.enqueue(APP, [a_reply("a"), a_reply("b")])
    lake = dlt.destinations.filesystem(str(own_folders / "lake"))
    run(lake, sms_source(allow_duplicates_in="filesystem"))
    assert len(list((own_folders / "lake" / "sms" / "replies").iterdir())) == 1


def test_duckdb_s_missing_extension_is_named(
    configured: SimulatorProcess, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a destination that does not answer: the package that brings the extension."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # nothing can be downloaded
    configured.enqueue(APP, [a_reply()])
    for arguments in (["--check"], []):
        status, _, err = job("--destination", "ducklake", *arguments)
        assert status == 2
        assert "DuckLake needs DuckDB's extension 'ducklake', which is not here" in err
        assert "dlt-tencent-sms[ducklake]" in err
    assert configured.stats().pulls == 0


def test_load_accepts_a_destination_by_name(
    configured: SimulatorProcess, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who takes the risk says so in the configuration."""
    monkeypatch.setenv("SOURCES__SMS_SOURCE__ALLOW_DUPLICATES_IN", "dummy")
    monkeypatch.setenv("DESTINATION__DUMMY__COMPLETED_PROB", "1.0")
    configured.enqueue(APP, [a_reply()])
    status, out, _ = job("--destination", "dummy", "--check")
    assert status == 0
    assert "dummy answers, and a row may be there twice, as is allowed" in out
    status, out, _ = job("--destination", "dummy")
    assert status == 0
    assert "Loaded 1 reply" in out


def test_check_refuses_what_a_run_refuses(configured: SimulatorProcess, job: Job) -> None:
    """The exit status is that of a wrong configuration."""
    configured.enqueue(APP, [a_reply()])
    for arguments in (["--check"], []):
        status, _, err = job("--destination", "dummy", *arguments)
        assert status == 2
        assert "The destination 'dummy' is refused" in err
    assert configured.stats().pulls == 0


def test_an_extraction_needs_to_know_its_destination(configured: SimulatorProcess) -> None:
    """dlt would let one follow later, when it is too late."""
    with pytest.raises(PipelineStepFailed, match="has no destination"):
        dlt.pipeline("own").extract(sms_source())
    assert configured.stats().pulls == 0


def test_rows_may_be_looked_at_without_a_destination(configured: SimulatorProcess) -> None:
    """In a notebook, a source is an iterator."""
    configured.enqueue(APP, [a_reply("\0")])
    tables = [table for table in sms_source() if "ReplyContent" in table.column_names]
    assert [text for table in tables for text in table["ReplyContent"].to_pylist()] == ["\0"]
