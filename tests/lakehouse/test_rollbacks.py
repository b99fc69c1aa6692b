"""A table of a lakehouse that was given an older version's rows: what it lacks is loaded again, once."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.catalog import load_catalog

from sms_source import forget, load
from sms_source.loading.engine import Engine
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, a_reply
from tests.lakehouse.conftest import Lake
from tests.lakehouse.crash import CATALOG, catalog_beside

RECEIPTS = {"pull_feeds": ["replies", "receipts"]}


class DeltaTables(Lake):
    """Delta tables, which a RESTORE gives older rows."""

    def roll_back(self, name: str) -> None:
        """Give a table the rows of its second version: those of the first run."""
        self.table(name).restore(1 if self.table(name).version() > 1 else 0)

    def tidy(self, name: str) -> None:
        """Do what a table's maintenance does."""
        table = self.table(name)
        table.optimize.compact()
        table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
        table.create_checkpoint()
        for log in sorted((self.folder / "sms" / name / "_delta_log").glob("0*.json"))[:-1]:
            log.unlink()


class IcebergTables:
    """Iceberg tables, whose catalog is set back to an older snapshot."""

    def __init__(self, folder: Path) -> None:
        self.catalog = catalog_beside(folder)

    def table(self, name: str) -> Any:
        """Return the newest version of a table."""
        return load_catalog("default", **self.catalog).load_table(f"sms.{name}")

    def rows(self, name: str, *columns: str) -> list[tuple[Any, ...]]:
        """Rows of a table, of these columns."""
        table = self.table(name).scan(selected_fields=columns).to_arrow()
        return list(zip(*(table[column].to_pylist() for column in columns), strict=True))

    def roll_back(self, name: str) -> None:
        """Give a table the rows of its first snapshot: those of the first run."""
        table = self.table(name)
        table.manage_snapshots().rollback_to_snapshot(table.snapshots()[0].snapshot_id).commit()

    def tidy(self, name: str) -> None:
        """Do what a table's maintenance does."""
        table = self.table(name)
        current = table.metadata.current_snapshot_id
        old = [each.snapshot_id for each in table.snapshots() if each.snapshot_id != current]
        table.maintenance.expire_snapshots().by_ids(old).commit()


Tables = DeltaTables | IcebergTables


@pytest.fixture(params=["delta", "iceberg"])
def tables(request: pytest.FixtureRequest, own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> Tables:
    """Provide an empty folder, and dlt's configuration in the environment for tables of a format there."""
    monkeypatch.setenv("HOME", str(own_folders))
    folder = own_folders / "lake"
    monkeypatch.setenv("DESTINATION__FILESYSTEM__BUCKET_URL", str(folder))
    if request.param == "delta":
        return DeltaTables(folder)
    iceberg = IcebergTables(folder)
    monkeypatch.setenv(CATALOG, json.dumps(iceberg.catalog))
    return iceberg


@pytest.fixture
def run(configured: SimulatorProcess) -> Callable[..., int]:
    """Provide the job with some replies in the queue; it returns how many packages it gave again."""

    def run(*replies: Any, **options: Any) -> int:
        configured.enqueue(APP, [a_reply(reply) for reply in replies])
        return load("filesystem", **options).missing_packages

    return run


def _replies(tables: Tables) -> list[str]:
    return sorted(content for (content,) in tables.rows("replies", "reply_content"))


@pytest.mark.parametrize("name", ["replies", "rejected_records", "pulls"])
def test_a_rollback_of_any_table_is_healed_once(tables: Tables, run: Callable[..., int], name: str) -> None:
    """Whichever table it was, the next run gives it its rows again, and the run after that has nothing to."""
    run("a", 1)
    run("b", 2)
    tables.roll_back(name)
    assert run("c") == 2
    assert _replies(tables) == ["a", "b", "c"]
    assert len(tables.rows("rejected_records", "record")) == 2
    assert len(tables.rows("pulls", "pull_id")) == 3
    assert [run("d"), run("e")] == [0, 0]


def test_a_table_that_gets_no_row_again_is_healed_once(
    configured: SimulatorProcess, tables: Tables, run: Callable[..., int]
) -> None:
    """Its rows are no longer in the archive, so it stays as it was restored; later runs load what is new."""
    for content in "ab":
        configured.enqueue(APP, [{**_A_RECEIPT, "SerialNo": content}], feed="receipts")
        run(content, **RECEIPTS)
    archived = sorted(Path("sms_journal", "archive").iterdir())
    archived[1].unlink()  # as the retention will
    tables.roll_back("receipts")
    assert [run(content, **RECEIPTS) for content in "cde"] == [1, 0, 0]
    assert tables.rows("receipts", "serial_no") == [("a",)]


def test_a_rollback_in_the_middle_of_a_round_is_healed_by_the_next_one(
    tables: Tables, run: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the round loads after it is newer, and hides nothing; not from a round that deletes, either."""
    run("a")
    run("b")

    def load_after_a_rollback(self: Engine, *arguments: Any) -> Any:
        tables.roll_back("replies")
        return its_load(self, *arguments)

    its_load = Engine.load
    with monkeypatch.context() as patched:
        patched.setattr(Engine, "load", load_after_a_rollback)
        assert run("c", tables_retention_days=1) == 0
    assert _replies(tables) == ["a", "c"]
    assert run("d") == 3
    assert _replies(tables) == ["a", "b", "c", "d"]
    assert run("e") == 0


def test_forgetting_somebody_hides_no_rollback(
    configured: SimulatorProcess, tables: Tables, run: Callable[..., int]
) -> None:
    """It makes a newer version and removes the older ones; what the rollback took comes again."""
    number = "+8613800138000"
    configured.enqueue(APP, [a_reply("theirs", PhoneNumber=number)])
    run("a")
    run("b")
    tables.roll_back("replies")
    assert forget(number, "filesystem").rows["replies"] == 1
    assert _replies(tables) == ["a"]
    run("c")
    assert _replies(tables) == ["a", "b", "c"]
    assert run("d") == 0


def test_the_maintenance_of_a_table_is_no_rollback(tables: Tables, run: Callable[..., int]) -> None:
    """Compaction, a vacuum, snapshots and logs that expire, rows that are too old: nothing is given again."""
    for content in "abc":
        run(content)
    for name in ("replies", "pulls", "rejected_records"):
        tables.tidy(name)
    assert run("d") == 0
    time.sleep(0.05)
    assert run("e", tables_retention_days=0.01 / 86_400) == 0
    forget("+8613800138000", "filesystem")
    assert run("f") == 0


def test_a_replay_heals_a_rollback(tables: Tables, run: Callable[..., int]) -> None:
    """It gives everything again, so that the next run need not."""
    run("a")
    run("b")
    tables.roll_back("replies")
    load("filesystem", replay=True)
    assert _replies(tables) == ["a", "b"]
    assert run("c") == 0


_A_RECEIPT = {
    "CountryCode": "86",
    "PhoneNumber": "+8612000000001",
    "SubscriberNumber": "12000000001",
    "SerialNo": "s",
    "ReportStatus": "SUCCESS",
    "Description": "ok",
    "UserReceiveTime": 1_620_734_188,
    "SessionContext": "",
}
