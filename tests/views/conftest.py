"""Warehouses on both databases; PostgreSQL needs its server programs (tests/postgres/install.sh)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt.destinations
import pytest

from tests.postgres.server import PostgresServer, find_programs
from tests.views.warehouse import Warehouse

DATABASES = ("duckdb", "postgres")


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    """Provide a PostgreSQL server for all tests."""
    programs = find_programs()
    if programs is None:
        pytest.skip("PostgreSQL's server programs are not here: run tests/postgres/install.sh")
    with PostgresServer(programs) as server:
        yield server


class Databases:
    """Makes warehouses, each in a new database of the kind."""

    def __init__(self, kind: str, folder: Path, request: pytest.FixtureRequest) -> None:
        self.kind = kind
        self._folder = folder
        self._request = request
        self._count = 0

    def warehouse(self, *tables: str, dataset: str = "sms") -> Warehouse:
        """Return a new database with these tables; all by default."""
        self._count += 1
        folder = self._folder / str(self._count)
        folder.mkdir()
        destination: Any
        as_it_is: Any = {"enable_dataset_name_normalization": False}
        if self.kind == "duckdb":
            destination = dlt.destinations.duckdb(str(folder / "test.duckdb"), **as_it_is)
        else:
            server: PostgresServer = self._request.getfixturevalue("server")
            server.create_database()
            destination = dlt.destinations.postgres(server.url, **as_it_is)
        return Warehouse(destination, *tables, dataset=dataset, folder=folder)


@pytest.fixture(scope="module", params=["duckdb", pytest.param("postgres", marks=pytest.mark.postgres)])
def databases(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Databases]:
    """Each kind of database in turn."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
        yield Databases(request.param, tmp_path_factory.mktemp(request.param), request)


@pytest.fixture(scope="module")
def warehouse(databases: Databases) -> Warehouse:
    """Provide a warehouse with all tables and views, which the tests of a file share: each fills it anew."""
    warehouse = databases.warehouse()
    assert warehouse.create_views() == []
    return warehouse
