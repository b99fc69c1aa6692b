"""How much memory DuckDB takes while it loads."""

from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest

from sms_source.loading import duckdb_memory
from sms_source.loading.duckdb_memory import DuckDbMemory
from sms_source.loading.loader import load
from sms_source.loading.target import target_of
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Warehouse, a_reply

SECTION = "DESTINATION__DUCKDB__CREDENTIALS"
LITTLE = {"threads": 1, "memory_limit": "144MB"}


@pytest.mark.parametrize(
    ("configured", "file", "settings"),
    [
        ({}, "sms_replies.duckdb", LITTLE),
        ({SECTION: "elsewhere.duckdb"}, "elsewhere.duckdb", LITTLE),
        (
            {f"{SECTION}__GLOBAL_CONFIG": '{"memory_limit": "1GB", "preserve_insertion_order": false}'},
            "sms_replies.duckdb",
            {"threads": 1, "memory_limit": "1GB", "preserve_insertion_order": False},
        ),
    ],
    ids=["no credentials", "a file", "settings"],
)
def test_duckdb_loads_in_little_memory_unless_it_is_configured(
    own_folders: Path,
    monkeypatch: pytest.MonkeyPatch,
    configured: dict[str, str],
    file: str,
    settings: dict[str, object],
) -> None:
    """By itself it would take most of the machine's; the file is the same, and other settings stay."""
    for name, value in configured.items():
        monkeypatch.setenv(name, value)
    target = target_of("duckdb", "0123abcd")
    memory = DuckDbMemory(target, "sms_replies", "sms")
    pipeline = dlt.pipeline("other", destination=target, dataset_name="sms")
    with memory, pipeline.sql_client() as client:
        credentials: Any = client.credentials
        assert credentials.global_config == settings
        assert Path(credentials.database) == own_folders / file
    with pipeline.sql_client() as client:  # to look through the whole table may take more
        credentials = client.credentials
        assert ("memory_limit" in credentials.global_config) == (f"{SECTION}__GLOBAL_CONFIG" in configured)


def test_a_load_that_needs_more_memory_gets_it(
    configured: SimulatorProcess, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would fail the next time, too."""
    monkeypatch.setattr(duckdb_memory, "MEGABYTES", 6)
    configured.enqueue(APP, [a_reply("很" * 3_000) for _ in range(300)])
    load()
    assert len(warehouse.contents()) == 300


def test_a_connection_of_one_s_own_is_left_as_it_is(own_folders: Path) -> None:
    """Its settings are those of whoever opened it."""
    with duckdb.connect(str(own_folders / "mine.duckdb"), config={"memory_limit": "1GB"}) as connection:
        mine: Any = dlt.destinations.duckdb(connection)
        target = target_of(mine, "0123abcd")
        memory = DuckDbMemory(target, "sms_replies", "sms")
        pipeline = dlt.pipeline("other", destination=target, dataset_name="sms")
        with memory, pipeline.sql_client() as client:
            assert client.execute_sql("select current_setting('memory_limit')") == [("953.6 MiB",)]
