"""The destination that a job loads into: where it is, and what exactly-once loading sets up."""

import os
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest

from sms_source.errors import ConfigurationError
from sms_source.loading import target as targets
from sms_source.loading.loader import load
from sms_source.loading.target import (
    DUCKDB_SETTINGS,
    ONE_TRANSACTION,
    database_of,
    file_state,
    limit_memory,
    owner_of,
    place_of,
    target_of,
)
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Warehouse, a_reply


def test_each_journal_stages_its_merges_apart() -> None:
    """Two jobs into one dataset would stage in the same tables, and lose and double rows."""
    target = target_of("postgres", "0123abcd")
    assert target.config_params["staging_dataset_name_layout"] == "%s_staging_0123abcd"


def test_a_layout_of_one_s_own_stays() -> None:
    """Whoever names the staging dataset has a reason, such as its permissions."""
    mine: Any = dlt.destinations.postgres(staging_dataset_name_layout="stage_%s")
    target = target_of(mine, "0123abcd")
    assert target.config_params["staging_dataset_name_layout"] == "stage_%s"


@pytest.mark.parametrize("name", ONE_TRANSACTION)
def test_a_merge_is_one_transaction_where_there_are_transactions(name: str) -> None:
    """The capability is what dlt's job asks before it begins one; dlt leaves it unset."""
    assert not getattr(dlt.destinations, name)().capabilities().supports_transactions
    assert target_of(name, "0123abcd").capabilities().supports_transactions


def test_a_destination_that_somebody_uses_elsewhere_is_left_as_it_is() -> None:
    """What a job sets up holds for that job alone."""
    mine: Any = dlt.destinations.duckdb("mine.duckdb")
    target_of(mine, "0123abcd")
    assert not mine.capabilities().supports_transactions
    assert "staging_dataset_name_layout" not in mine.config_params


def test_the_database_is_in_the_current_directory(own_folders: Path) -> None:
    """Wherever a pipeline of that name ran first; dlt would go there."""
    target = place_of("duckdb")
    owner = owner_of(target, "sms_replies", "sms")
    assert owner.location == str(own_folders / "sms_replies.duckdb")
    assert (owner.pipeline, owner.destination, owner.dataset) == ("sms_replies", "duckdb", "sms")


def test_only_duckdb_has_a_file() -> None:
    """A server's database is not told by a path."""
    assert database_of(place_of("postgres"), "sms_replies", "sms") == ""


def test_a_database_in_memory_is_refused() -> None:
    """It is gone with the process, and the replies with it."""
    memory: Any = dlt.destinations.duckdb(":memory:")
    with pytest.raises(ConfigurationError, match="which is gone after the run"):
        owner_of(place_of(memory), "sms_replies", "sms")


def test_a_file_s_state_tells_that_another_is_in_its_place(own_folders: Path) -> None:
    """A backup that was put back, changed, or taken away; a server has none."""
    database = own_folders / "a.duckdb"
    assert file_state(str(database)) is None
    assert file_state("") is None
    database.write_bytes(b"yesterday")
    backup = own_folders / "backup.duckdb"
    backup.write_bytes(b"yesterday")
    before = file_state(str(database))
    assert before == file_state(str(database))
    status = database.stat()
    os.utime(backup, ns=(status.st_atime_ns, status.st_mtime_ns))
    backup.replace(database)
    assert file_state(str(database)) != before


SECTION = "DESTINATION__DUCKDB__CREDENTIALS"


@pytest.mark.parametrize(
    ("configured", "file", "settings"),
    [
        ({}, "sms_replies.duckdb", DUCKDB_SETTINGS),
        ({SECTION: "elsewhere.duckdb"}, "elsewhere.duckdb", DUCKDB_SETTINGS),
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
    limit_memory(target, "sms_replies", "sms")
    pipeline = dlt.pipeline("other", destination=target, dataset_name="sms")
    with pipeline.sql_client() as client:
        credentials: Any = client.credentials
        assert credentials.global_config == settings
        assert Path(credentials.database) == own_folders / file


def test_a_load_that_needs_more_memory_gets_it(
    configured: SimulatorProcess, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would fail the next time, too."""
    monkeypatch.setitem(targets.DUCKDB_SETTINGS, "memory_limit", "6MB")
    configured.enqueue(APP, [a_reply("很" * 3_000) for _ in range(300)])
    load()
    assert len(warehouse.contents()) == 300


def test_a_connection_of_one_s_own_is_left_as_it_is(own_folders: Path) -> None:
    """Its settings are those of whoever opened it."""
    with duckdb.connect(str(own_folders / "mine.duckdb"), config={"memory_limit": "1GB"}) as connection:
        mine: Any = dlt.destinations.duckdb(connection)
        target = target_of(mine, "0123abcd")
        limit_memory(target, "sms_replies", "sms")
        pipeline = dlt.pipeline("other", destination=target, dataset_name="sms")
        with pipeline.sql_client() as client:
            assert client.execute_sql("select current_setting('memory_limit')") == [("953.6 MiB",)]
