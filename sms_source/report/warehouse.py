"""The warehouse, opened to be read: which relations the dataset has, and the rows of a query."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar

import dlt
from dlt.common.destination.exceptions import SqlClientNotAvailable
from dlt.destinations.exceptions import DatabaseException, DatabaseTransientException
from dlt.destinations.sql_client import SqlClientBase

from sms_source.errors import ConfigurationError, SmsSourceError
from sms_source.views import DIALECTS, view_sql

T = TypeVar("T")

Row = Mapping[str, Any]
"""Of a query's result, by column."""

CHUNK = 10_000
"""Rows that are fetched at once."""
MEMORY = "512MB"
"""What DuckDB may take for a query, beside the program and some buffers of its own; what needs more goes to
a disk. A query that can't do with it is asked again, and may take what DuckDB takes by default."""


class Warehouse:
    """A dataset that is read.

    Args:
        client: of dlt, with its connection open.
        max_memory: what DuckDB may take for a query that can't do with `MEMORY`.
    """

    def __init__(self, client: SqlClientBase[Any], max_memory: str = "") -> None:
        self._client = client
        self._max_memory = max_memory
        self.dataset: str = client.dataset_name
        found = self.rows(
            "select table_name, table_type from information_schema.tables "
            "where table_catalog = current_database() and table_schema = %s order by table_name",
            self.dataset,
        )
        self.relations = [row["table_name"] for row in found]
        self.views = [row["table_name"] for row in found if row["table_type"] == "VIEW"]

    def lacks(self, *names: str) -> list[str]:
        """Return those of these relations that the dataset does not have."""
        return [name for name in names if name not in self.relations]

    def rows(self, sql: str, *values: Any) -> list[Row]:
        """Return all rows of a query.

        Args:
            sql: in what DuckDB and PostgreSQL have in common, `{name}` for a relation of the dataset and
                `%s` for a value.
            values: in the order of their places.
        """

        def ask() -> list[Row]:
            with self._client.execute_query(sql.format_map(_Names(self.qualified)), *values) as cursor:
                columns = [column[0] for column in cursor.description or ()]
                return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]

        return self._with_enough_memory(ask)

    def stream(self, relation: str) -> Iterator[Sequence[Any]]:
        """Yield all rows of a relation, in constant memory."""

        def begin() -> tuple[list[Sequence[Any]], Iterator[Sequence[Any]]]:
            rows = self._streamed(f"select * from {self.qualified(relation)}")  # noqa: S608 - quoted
            return list(islice(rows, 1)), rows

        # What sorts or groups does so before its first row.
        yield from chain(*self._with_enough_memory(begin))

    def _streamed(self, query: str) -> Iterator[Sequence[Any]]:
        if self._client.capabilities.sqlglot_dialect != "postgres":
            with self._client.execute_query(query) as cursor:
                while rows := cursor.fetchmany(CHUNK):
                    yield from rows
            return
        # PostgreSQL's driver would fetch all rows at once.
        with self._client.begin_transaction():
            self._client.execute_sql(f"declare streamed no scroll cursor for {query}")
            while fetched := self._client.execute_sql(f"fetch {CHUNK} from streamed"):
                yield from fetched

    def columns(self, relation: str) -> list[str]:
        """Return the columns of a relation, in their order."""
        found = self.rows(
            "select column_name from information_schema.columns where table_catalog = current_database() "
            "and table_schema = %s and table_name = %s order by ordinal_position",
            self.dataset,
            relation,
        )
        return [row["column_name"] for row in found]

    def row(self, sql: str, *values: Any) -> Row:
        """Return the only row of a query."""
        return self.rows(sql, *values)[0]

    def execute(self, sql: str) -> None:
        """Do something that is about this connection alone, such as make a temporary table."""
        self._with_enough_memory(lambda: self._client.execute_sql(sql))

    def keep(self, name: str, query: str) -> str:
        """Ask a query once for several others; returns its rows, as SQL names them.

        In DuckDB they are a temporary table. Elsewhere they are the query itself, in parentheses.

        Args:
            name: of the table.
            query: without a `%s`.
        """
        if self._client.capabilities.sqlglot_dialect != "duckdb":
            return f"({query})"
        self.execute(
            f"create or replace temporary table {name} as {query.format_map(_Names(self.qualified))}"
        )
        return f"temp.{name}"

    def _with_enough_memory(self, ask: Callable[[], T]) -> T:
        """Return the answer of the database; if `MEMORY` is too little for it, with as much as there is."""
        try:
            return ask()
        except DatabaseTransientException as error:
            if "Out of Memory" not in str(error) or not self._max_memory:
                raise
            self._client.execute_sql(f"set memory_limit = '{self._max_memory}'")
            return ask()

    def qualified(self, name: str) -> str:
        """Return a relation of the dataset, as SQL names it."""
        return self._client.make_qualified_table_name(name)

    def query_of(self, view: str, **instead: str) -> str:
        """Return the query of a view, as this version makes it, in parentheses.

        Args:
            view: one of those that `has_view_as_here`.
            instead: relations, as SQL names them, that are read in the place of those of these names.
        """
        names = _Names(self.qualified)
        names.update(instead)
        return f"({view_sql(view, relation=names.__getitem__)})"

    def has_view_as_here(self, name: str) -> bool:
        """Return whether the dataset's view is one of DuckDB that this version would make just so.

        It may be another version's, or somebody's own.
        """
        if self._client.capabilities.sqlglot_dialect != "duckdb":
            return False
        self.execute(f"create or replace temporary view as_here as {view_sql(name, relation=self.qualified)}")
        # DuckDB puts quotes around some names of types in a view that is new, and not in one from a file.
        definitions = self.rows(
            "select distinct replace(substr(sql, strpos(sql, ' AS ')), '\"', '') from duckdb_views() "
            "where temporary and view_name = 'as_here' "
            "or database_name = current_database() and schema_name = %s and view_name = %s",
            self.dataset,
            name,
        )
        return len(definitions) == 1


class _Names(dict[str, str]):
    """Relations by their names in SQL: quoted, and with the dataset, until they are set."""

    def __init__(self, qualified: Callable[[str], str]) -> None:
        self._qualified = qualified

    def __missing__(self, name: str) -> str:
        return self._qualified(name)


@contextmanager
def open_warehouse(pipeline: dlt.Pipeline) -> Iterator[Warehouse]:
    """Provide the dataset of a pipeline. A DuckDB file is opened read-only, and beside other readers.

    Raises:
        ConfigurationError: the destination has no views, or the database or the dataset is not there.
        SmsSourceError: another process is writing into the DuckDB file.
    """
    with ExitStack() as stack:
        client = None
        with suppress(SqlClientNotAvailable):
            client = pipeline.sql_client()
        if client is None or client.capabilities.sqlglot_dialect not in DIALECTS:
            name = pipeline.destination.destination_name if pipeline.destination else "none"
            raise ConfigurationError(
                f"The destination {name!r} has no views, which make the report: use duckdb or postgres; "
                "--replay loads there what the journal's archive has."
            )
        max_memory = ""
        if client.capabilities.sqlglot_dialect == "duckdb":
            max_memory = _open_read_only(client, stack)
        else:
            stack.enter_context(_connected(client))
        warehouse = Warehouse(client, max_memory)
        if not warehouse.relations:
            raise ConfigurationError(
                f"There is no dataset {warehouse.dataset!r} in the destination, or it is empty: load first, "
                "or give the name of the dataset into which the replies are loaded."
            )
        yield warehouse


@contextmanager
def _connected(client: SqlClientBase[Any]) -> Iterator[None]:
    client.open_connection()
    try:
        yield
    finally:
        client.close_connection()


def _open_read_only(client: SqlClientBase[Any], stack: ExitStack) -> str:
    """Open a DuckDB database, and limit its memory; returns the limit that it had."""
    credentials: Any = client.credentials
    database = str(getattr(credentials, "database", ""))
    is_file = hasattr(credentials, "read_only") and database and "://" not in database
    if is_file and not database.startswith(":"):
        if not Path(database).exists():
            raise ConfigurationError(
                f"There is no database {database}: load first, or run in the directory of the load."
            )
        credentials.read_only = True
    try:
        stack.enter_context(_connected(client))
    except Exception as error:
        if "Could not set lock on file" in str(error) or "being used by another process" in str(error):
            raise SmsSourceError(
                f"Another process is writing into {database}: wait until it has closed it, then run again."
            ) from error
        if "search_path" in str(error) or isinstance(error, DatabaseException):
            raise ConfigurationError(
                f"The dataset {client.dataset_name!r} of {database} can't be opened: load first, or give the "
                "name of the dataset into which the replies are loaded."
            ) from error
        raise
    ((max_memory,),) = client.execute_sql("select current_setting('memory_limit')") or ()
    # What does not fit into memory is people's replies: only this user may read it, and it goes at the end.
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sms-report-"))
    for setting, value in {"temp_directory": folder, "memory_limit": MEMORY}.items():
        client.execute_sql(f"set {setting} = '{value}'")
    client.execute_sql("set preserve_insertion_order = false")
    return str(max_memory)
