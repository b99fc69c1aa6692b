"""The destination that a job loads into: where it is, and what exactly-once loading sets up."""

import os
from pathlib import Path
from typing import Any

import dlt
import pytest

from sms_source.errors import ConfigurationError
from sms_source.loading.target import ONE_TRANSACTION, database_of, file_state, owner_of, place_of, target_of


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
