"""Requirements: the extra `postgres`, those of tests/s3, and PostgreSQL's server programs (install.sh)."""

import importlib.util
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Rows
from tests.postgres.server import PostgresServer, find_programs
from tests.s3.conftest import journal_url, s3

__all__ = ["journal_url", "s3"]

FOLDER = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in this folder, as the tests of other folders that need the server are."""
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker("postgres")


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    """Provide a PostgreSQL server for all tests; each has an empty database."""
    programs = find_programs()
    if programs is None:
        pytest.skip("PostgreSQL's server programs are not here: run tests/postgres/install.sh")
    if importlib.util.find_spec("psycopg2") is None:
        pytest.skip("psycopg2 is not here: pip install 'dlt-tencent-sms[postgres]'")
    with PostgresServer(programs) as server:
        yield server


@pytest.fixture
def postgres(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> "PostgresWarehouse":
    """Provide the server with an empty database, and dlt's configuration in the environment for it."""
    server.create_database()
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return PostgresWarehouse(server)


class PostgresWarehouse:
    """What a person would see in the database, and do to it."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server

    @contextmanager
    def session(self) -> Iterator[Any]:
        """Provide a cursor in a transaction, which counts at the end."""
        import psycopg2  # type: ignore[import-untyped]

        with (
            closing(psycopg2.connect(self.server.url)) as connection,
            connection,
            connection.cursor() as cursor,
        ):
            yield cursor

    def execute(self, *statements: str) -> None:
        """Do something to the database, in one transaction."""
        with self.session() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def query(self, sql: str) -> Rows:
        """Rows of a query."""
        with self.session() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def contents(self) -> list[str]:
        """Return what people wrote, in the order of what they wrote."""
        return [content for (content,) in self.query("select reply_content from sms.replies order by 1")]

    def waiting(self) -> int:
        """Return how many sessions wait for a lock."""
        ((count,),) = self.query(
            "select count(*) from pg_stat_activity "
            "where datname = current_database() and wait_event_type = 'Lock'"
        )
        return int(count)
