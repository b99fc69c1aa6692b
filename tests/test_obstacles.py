"""What would keep a destination from taking the rows, asked of real ones.

That a check and a run refuse the same, before anything is pulled, is in test_checking.py.
"""

from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest

from sms_source.errors import ConfigurationError
from sms_source.loading.obstacles import KEYS, refuse_what_is_in_the_way
from sms_source.loading.resources import resources_of


def look(destination: Any, dataset: str = "sms", location: str = "") -> None:
    """Look for what is in the way of a pipeline."""
    pipeline = dlt.pipeline("sms_replies", destination=destination, dataset_name=dataset)
    with pipeline.destination_client() as client:
        refuse_what_is_in_the_way(client, dataset, location)


def database_with(folder: Path, *statements: str) -> Any:
    """Return a destination whose dataset is there, with what the statements make."""
    path = str(folder / "warehouse.duckdb")
    with duckdb.connect(path) as connection:
        for statement in ("create schema sms", *statements):
            connection.execute(statement)
    return dlt.destinations.duckdb(path)


def test_the_keys_are_those_that_rows_are_merged_by() -> None:
    """A table without one of them is none of ours: a merge into it would fail."""
    resources = {resource.name: resource for resource in resources_of(lambda: iter(()))}
    keys = {
        name: {
            column
            for column, hints in resources[name].compute_table_schema()["columns"].items()
            if hints.get("primary_key")
        }
        for name in resources.keys() - {"drain"}
    }
    assert keys == KEYS


@pytest.mark.parametrize("file", ["sms.duckdb", "SMS.duckdb", "sms"])
def test_a_name_of_the_database_is_one_in_any_case(own_folders: Path, file: str) -> None:
    """DuckDB tells names in no case apart, and takes all but the file's ending for its name."""
    location = str(own_folders / file)
    with pytest.raises(ConfigurationError, match="would be taken for it"):
        look(dlt.destinations.duckdb(location), location=location)
    look(dlt.destinations.duckdb(location), "other", location)


def test_an_empty_place_has_nothing_in_the_way(own_folders: Path) -> None:
    """No dataset, an empty one, or one with other people's tables."""
    look(dlt.destinations.duckdb(str(own_folders / "new.duckdb")))
    look(database_with(own_folders, "create table sms.campaign as select 1 as reply_id"))


@pytest.mark.parametrize(
    "columns",
    ["reply_id text, _dlt_load_id text", '"REPLY_ID" text, "_DLT_LOAD_ID" text, more text'],
)
def test_a_table_of_this_connector_s_is_known_by_its_key(own_folders: Path, columns: str) -> None:
    """Some databases tell names in capitals; and what else is in it, dlt adds or somebody has."""
    look(database_with(own_folders, f"create table sms.replies ({columns})"))


@pytest.mark.parametrize(
    ("table", "columns", "missing"),
    [
        ("replies", "reply_id text", "_dlt_load_id"),
        ("receipts", "reply_id text, _dlt_load_id text", "receipt_id"),
        ("pulls", "a text", "_dlt_load_id, pull_id"),
        ("rejected_records", "pull_id text, _dlt_load_id text", "position"),
    ],
)
def test_each_table_is_looked_at_and_what_it_lacks_is_named(
    own_folders: Path, table: str, columns: str, missing: str
) -> None:
    """Those that are well do not hide the one that is not, and the message says what to do."""
    well = [
        f"create table sms.{name} ({', '.join(f'{column} text' for column in (*key, '_dlt_load_id'))})"
        for name, key in KEYS.items()
        if name != table
    ]
    destination = database_with(own_folders, *well, f"create table sms.{table} ({columns})")
    with pytest.raises(ConfigurationError) as caught:
        look(destination)
    assert str(caught.value) == (
        f"In the dataset sms is a {table} that is not this connector's: it has no {missing}. Rename it, or "
        "give the connector a dataset of its own."
    )


def test_where_there_is_no_sql_nothing_is_asked_of_tables(own_folders: Path) -> None:
    """A folder's files, and a destination without datasets, have no table to be in the way."""
    (own_folders / "lake" / "sms" / "replies").mkdir(parents=True)
    (own_folders / "lake" / "sms" / "replies" / "mine.parquet").write_text("")
    look(dlt.destinations.filesystem(str(own_folders / "lake")))
    look(dlt.destinations.dummy(), "Any Name")
