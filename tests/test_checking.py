"""What can't be loaded is found before it is pulled: --check and the first run agree."""

from pathlib import Path

import duckdb
import pytest

import sms_source
from sms_source.errors import ConfigurationError
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Job, Warehouse, a_reply


@pytest.fixture(autouse=True)
def reply(configured: SimulatorProcess) -> None:
    """Provide a reply that waits."""
    configured.enqueue(APP, [a_reply("a")])


def assert_both_refuse(simulator: SimulatorProcess, job: Job, arguments: list[str], message: str) -> None:
    """Check that check and run end with 2 and the same message, and the queue keeps what it has."""
    errors = []
    for more in (["--check"], []):
        status, _, err = job(*arguments, *more)
        assert status == 2, err
        assert message in err
        errors.append(err.splitlines()[-1])
    assert errors[0] == errors[1]
    assert simulator.stats().handed_out == 0


def test_a_dataset_named_like_the_duckdb_file(configured: SimulatorProcess, job: Job) -> None:
    """DuckDB would take the name for the database, and every load would fail."""
    arguments = ["--dataset", "sms_replies"]
    assert_both_refuse(configured, job, arguments, "'sms_replies' is named as DuckDB names the database")


@pytest.mark.parametrize("dataset", ["My Data", "SMS", "smsReplies"])
def test_a_dataset_whose_normalized_name_is_another(
    configured: SimulatorProcess, job: Job, dataset: str
) -> None:
    """Every message would name a schema that does not exist."""
    assert_both_refuse(configured, job, ["--dataset", dataset], f"The dataset {dataset!r} would be named")


@pytest.mark.long
@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("create table sms.replies (reply_id integer not null)", "a replies that is not this connector's"),
        ("create view sms.pulls as select 1 as pull_id", "a pulls that is not this connector's"),
        ("create table sms.rejected_records (_dlt_load_id text)", "it has no position, pull_id"),
    ],
)
def test_a_foreign_table_in_the_way(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job, statement: str, message: str
) -> None:
    """The rows would not fit into it, or somebody else's would be among them."""
    with duckdb.connect(str(warehouse.database)) as connection:
        connection.execute(f"create schema sms; {statement}")
    assert_both_refuse(configured, job, [], message)
    with duckdb.connect(str(warehouse.database)) as connection:
        connection.execute("drop schema sms cascade")
    assert job()[0] == 0
    assert warehouse.contents() == ["a"]


def test_other_tables_in_the_dataset_are_none_of_our_business(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job
) -> None:
    """A dataset may have more than one user."""
    with duckdb.connect(str(warehouse.database)) as connection:
        connection.execute("create schema sms; create table sms.campaign as select 1 as a")
    assert job()[0] == 0
    assert warehouse.contents() == ["a"]


@pytest.mark.parametrize("database", [":memory:", "duckdb:///:memory:"])
def test_a_database_that_is_gone_after_the_run(
    configured: SimulatorProcess, job: Job, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    """What was pulled would be, too."""
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", database)
    assert_both_refuse(configured, job, [], "':memory:', which is gone after the run")


@pytest.mark.long
@pytest.mark.parametrize(
    "arguments", [["--dataset", "other"], ["--pipeline", "other"], ["--destination", "dummy"]]
)
def test_a_second_user_of_one_journal(configured: SimulatorProcess, job: Job, arguments: list[str]) -> None:
    """It would take the first one's rows for loaded."""
    assert job()[0] == 0
    configured.enqueue(APP, [a_reply("b")])
    for more in (["--check"], []):
        status, _, err = job(*arguments, *more)
        assert status == 2
        assert "belongs to pipeline 'sms_replies'" in err
    assert configured.stats().handed_out == 1


def test_a_second_duckdb_file_on_one_journal(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows would be split between the two; a file that was moved is still the same one."""
    assert job()[0] == 0
    other = warehouse.folder / "other.duckdb"
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", str(other))
    for more in (["--check"], []):
        status, _, err = job(*more)
        assert status == 2
        assert str(other) in err
        assert str(warehouse.database) in err
    warehouse.database.rename(other)
    assert job()[0] == 0
    warehouse.database = other
    assert warehouse.contents() == ["a"]


def test_a_check_leaves_nothing_that_counts(
    configured: SimulatorProcess, warehouse: Warehouse, job: Job
) -> None:
    """No row in the ledger, no claim on the journal, no table."""
    assert job("--check")[0] == 0
    (warehouse.folder / "sms_journal" / "probe").write_text("of a check that was killed")
    assert job("--check")[0] == 0
    assert job("--dataset", "other")[0] == 0
    assert warehouse.query("select count(*) from other.pulls") == [(1,)]
    assert not (warehouse.folder / "sms_journal" / "probe").exists()


def test_check_in_python_returns_what_holds_and_raises_what_does_not(
    configured: SimulatorProcess, own_folders: Path
) -> None:
    """The same proof, for whoever deploys by a program."""
    findings = sms_source.check()
    assert [finding.what for finding in findings] == [
        "configuration",
        "journal",
        "destination",
        "application",
    ]
    with pytest.raises(ConfigurationError, match="would be named"):
        sms_source.check(dataset_name="My Data")
    assert configured.stats().pulls == 0


def test_a_journal_that_can_not_be_written_is_told(own_folders: Path, job: Job) -> None:
    """A file in its place: no promise that what was pulled is safe, as nothing was."""
    (own_folders / "sms_journal").write_text("")
    for arguments in (["--check"], []):
        status, _, err = job(*arguments)
        assert status == 1
        assert "sms_journal" in err
        assert "safe" not in err
