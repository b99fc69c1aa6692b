"""Warehouses to make pages of. Each kind is made once; a test gets a copy of its file."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest

from sms_source.report import write_report
from tests.report import data
from tests.views.warehouse import Row, Warehouse

STORIES: dict[str, Callable[[], dict[str, list[Row]]]] = {
    "story": lambda: data.story(1_500),
    "hostile": data.hostile,
    "campaigns": data.campaigns,
    "empty": dict,
}
WITHOUT_RECEIPTS = ("replies", "pulls", "rejected_records")


class Reported:
    """A DuckDB file with replies and views, and the pages made of it."""

    def __init__(self, database: Path) -> None:
        self.database = database

    @property
    def pipeline(self) -> dlt.Pipeline:
        """As a command would make it."""
        destination = dlt.destinations.duckdb(str(self.database))
        return dlt.pipeline("reader", destination=destination, dataset_name="sms")

    def page(self, **options: Any) -> str:
        """Return the page, at the time of the made-up rows."""
        path = self.database.with_suffix(".html")
        write_report(self.pipeline, path, **{"now": data.NOW, **options})
        return path.read_text(encoding="utf-8")

    def fill(self, tables: dict[str, list[Row]]) -> None:
        """Add rows."""
        with duckdb.connect(str(self.database)) as connection:
            for table, rows in tables.items():
                places = ", ".join(["?"] * len(rows[0]))
                values = [list(row.values()) for row in rows]
                insert = f"insert into sms.{table} ({', '.join(rows[0])}) values ({places})"
                connection.executemany(insert, values)

    def query(self, sql: str, *, read_only: bool = True) -> list[tuple[Any, ...]]:
        """Rows of a query, in UTC."""
        with duckdb.connect(str(self.database), read_only=read_only) as connection:
            connection.execute("set timezone = 'UTC'")
            return connection.execute(sql).fetchall()


Report = Callable[..., Reported]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a DuckDB file of each kind, once."""
    folder = tmp_path_factory.mktemp("reported")

    def make(story: str, tables: tuple[str, ...]) -> Path:
        path = folder / f"{'-'.join((story, *tables))}.duckdb"
        if not path.exists():
            warehouse = Warehouse(dlt.destinations.duckdb(str(path)), *tables, folder=path.with_suffix(""))
            data.fill(warehouse, STORIES[story]())
        return path

    return make


@pytest.fixture
def reported(made: Callable[..., Path], own_folders: Path) -> Report:
    """Give a warehouse of one of the `STORIES`, or of rows of a test's own."""

    def report(story: str = "", *, tables: tuple[str, ...] = (), **rows: list[Row]) -> Reported:
        path = own_folders / "sms_replies.duckdb"
        if story:
            shutil.copy(made(story, tables), path)
        else:
            shutil.copy(made("empty", tables), path)
            Reported(path).fill(rows)
        return Reported(path)

    return report
