"""What each column means is in dlt's schema, where whoever meets a table looks for it."""

import pytest

import sms_source
from sms_source.feeds import FEEDS, RECEIPTS
from sms_source.loading.descriptions import DESCRIPTIONS
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Warehouse, a_reply
from tests.recovery.conftest import receipt_of


@pytest.fixture
def columns(configured: SimulatorProcess, warehouse: Warehouse) -> dict[str, dict[str, str | None]]:
    """Provide the description of each column of each table, as the destination has them after a load."""
    configured.enqueue(APP, [a_reply("a"), {"bad": 1}])
    configured.enqueue(APP, [receipt_of(1)], feed=RECEIPTS.name)
    sms_source.load(pull_feeds=list(FEEDS)).raise_for_failure()
    pipeline = warehouse.pipeline()
    pipeline.sync_destination()
    tables = pipeline.default_schema.tables
    return {
        table: {name: column.get("description") for name, column in tables[table]["columns"].items()}
        for table in DESCRIPTIONS
    }


def test_every_column_says_what_it_means(columns: dict[str, dict[str, str | None]]) -> None:
    """In words of its own; what dlt adds, dlt's documents describe."""
    silent = {
        f"{table}.{name}"
        for table, described in columns.items()
        for name, text in described.items()
        if not text and not name.startswith("_dlt_")
    }
    assert silent == set()


def test_no_description_is_of_a_column_that_is_not_there(columns: dict[str, dict[str, str | None]]) -> None:
    """One that was renamed would be described by its old name, and dlt would make a column of it."""
    for table, described in DESCRIPTIONS.items():
        assert described.items() <= columns[table].items()
    assert set(DESCRIPTIONS) == {*FEEDS, "pulls", "rejected_records"}
