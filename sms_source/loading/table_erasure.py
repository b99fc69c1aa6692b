"""Deletes from the tables of an SQL destination: the rows of people, and rows that are too old."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from functools import reduce
from itertools import product
from pathlib import Path
from typing import Any

from dlt.destinations.exceptions import DatabaseUndefinedRelation
from dlt.destinations.job_client_impl import SqlJobClientBase

from sms_source.api.answers import parse_record
from sms_source.feeds import FEEDS
from sms_source.loading.mysql import DIALECT
from sms_source.loading.tables import REJECTED
from sms_source.privacy.people import People

ERASURES = "erasures"
"""The table of what was erased: a row for each person and each time, without a number."""
WITH_PEOPLE = (*FEEDS, REJECTED)
"""The tables that hold what people wrote."""

WHO = ("phone_number", "country_code", "subscriber_number")
"""The columns that tell whose a row is."""
KEY = " || '/' || ".join(f"coalesce({column}, '')" for column in WHO)
"""The same as one value."""
_NUMBERS = ("phone_number", "subscriber_number")
_PSEUDONYM = "p" + 33 * "_"
"""In the language of LIKE."""
_ROWS_AT_ONCE = 10_000
_COLUMNS = {
    "erased_at": "timestamp with time zone",
    "person": "varchar",
    **dict.fromkeys(WITH_PEOPLE, "bigint"),
    "journal_records": "bigint",
}
_OF_MYSQL = {"timestamp with time zone": "datetime(6)", "varchar": "varchar(255)"}

Rows = dict[str, Counter[str]]
"""How many rows of a table went, by the digits of the person."""


def erase_rows(client: SqlJobClientBase, people: People, in_journal: Mapping[str, int]) -> Rows:
    """Delete people's rows from all tables, and note it, in one transaction.

    dlt's staging is among them, also that of other journals of the dataset: an earlier one's stays.

    Args:
        client: of the destination, entered.
        people: to forget.
        in_journal: how many records went from the journal, by the digits of the person.

    Returns:
        How many rows went from each table that there is.
    """
    sql: Any = client.sql_client
    rows: Rows = {}
    own = [sql.staging_dataset_name, sql.dataset_name]
    datasets = own if _is_sqlite(sql) else [*other_staging(client), *own]
    with sql.begin_transaction():
        for dataset in datasets:  # last, so that the counts are those of the tables
            for table in existing_tables(client, dataset):
                rows[table] = _erase(sql, _name(sql, table, dataset), table, people)
        _note(sql, people, rows, in_journal)
    _reclaim(sql, rows, datasets)
    return rows


def not_reached(client: SqlJobClientBase) -> list[str]:
    """Return the datasets that may hold the people, and in which `erase_rows` does nothing."""
    return other_staging(client) if _is_sqlite(client.sql_client) else []


def delete_old(client: SqlJobClientBase, before: datetime) -> None:
    """Delete the rows that came before a moment, and dlt's copies of them in staging."""
    sql: Any = client.sql_client
    for dataset in (sql.dataset_name, sql.staging_dataset_name):
        for table in existing_tables(client, dataset):
            name = _name(sql, table, dataset)
            sql.execute_sql(f"delete from {name} where pulled_at < %s", _value(sql, before))


def existing_tables(client: SqlJobClientBase, dataset: str) -> list[str]:
    """Return those of the tables that hold what people wrote that there are in a dataset."""
    with client.sql_client.with_alternative_dataset_name(dataset):
        return [name for name, columns in client.get_storage_tables(WITH_PEOPLE) if columns]


def other_staging(client: SqlJobClientBase) -> list[str]:
    """Return the datasets in which jobs with other journals stage, or staged, what goes into this dataset."""
    sql: Any = client.sql_client
    if _is_sqlite(sql):  # a file each
        path = Path(sql.database_name)
        found = [file.stem.removeprefix(f"{path.stem}__") for file in path.parent.glob(f"*{path.suffix}")]
    else:
        rows = sql.execute_sql("select distinct schema_name from information_schema.schemata")
        found = [name for (name,) in rows or ()]
    is_staging = re.compile(re.escape(sql.dataset_name) + "_staging_[0-9a-f]{8}", re.IGNORECASE).fullmatch
    return sorted(name for name in filter(is_staging, found) if name != sql.staging_dataset_name)


def _is_sqlite(sql: Any) -> bool:
    """Return whether a dataset is a file: SQLite attaches few of them, and none in a transaction."""
    return bool(sql.capabilities.sqlglot_dialect == "sqlite")


def _name(sql: Any, table: str, dataset: str) -> str:
    with sql.with_alternative_dataset_name(dataset):
        return str(sql.make_qualified_table_name(table))


def _erase(sql: Any, name: str, table: str, people: People) -> Counter[str]:
    return _erase_rejected(sql, name, people) if table == REJECTED else _erase_records(sql, name, people)


def _erase_records(sql: Any, name: str, people: People) -> Counter[str]:
    """Delete the records of a feed: found by what may stand for the people, deleted if they are theirs."""
    erased: Counter[str] = Counter()
    for condition, values in _suspects(sql, people):
        query = f"select {', '.join(WHO)}, count(*) from {name} where {condition} group by {', '.join(WHO)}"
        theirs = []
        with sql.execute_query(query, *values) as cursor:
            while rows := cursor.fetchmany(_ROWS_AT_ONCE):
                for *who, count in rows:
                    if owner := owner_of_row(people, who):
                        erased[owner] += count
                        theirs.append(key_of(who))
        for start in range(0, len(theirs), _ROWS_AT_ONCE):
            keys = theirs[start : start + _ROWS_AT_ONCE]
            sql.execute_sql(f"delete from {name} where {_joined(sql, KEY)} in ({_places(keys)})", *keys)
    return erased


def _suspects(sql: Any, people: People) -> Iterator[tuple[str, list[str]]]:
    """Yield conditions, with their values, one of which each row of the people meets.

    Nearly all numbers are digits, with or without a plus sign before them: these are compared. Numbers that
    are spelt otherwise are few, and are all looked at.
    """
    columns = [*_NUMBERS, *(_joined(sql, f"country_code || {column}") for column in _NUMBERS)]
    for values in people.chunks():
        yield " or ".join(f"{column} in ({_places(values)})" for column in columns), values * len(columns)
    yield (
        " or ".join(
            f"({_joined(sql, _without_digits(column))} <> case when {column} like %s then '+.' else '.' end "
            f"and {column} not like %s)"
            for column in _NUMBERS
        ),
        ["+%", _PSEUDONYM] * len(_NUMBERS),
    )


def _without_digits(column: str) -> str:
    """Return what is left of a text, and a dot: to MySQL, blanks at the end make no difference."""
    return reduce(lambda text, digit: f"replace({text}, '{digit}', '')", "0123456789", column) + " || '.'"


def _joined(sql: Any, expression: str) -> str:
    """Return an expression of joined texts as this database has it: to MySQL, `||` is an OR."""
    is_mysql = sql.capabilities.sqlglot_dialect == DIALECT
    return f"concat({expression.replace(' || ', ', ')})" if is_mysql else expression


def owner_of_row(people: People, who: Sequence[str | None]) -> str | None:
    """Return the digits of the person whose row it is, by the columns of WHO; None when it is another's."""
    return people.owner_of(dict(zip(("PhoneNumber", "CountryCode", "SubscriberNumber"), who, strict=True)))


def key_of(who: Sequence[str | None]) -> str:
    """Return the value of KEY."""
    return "/".join(part or "" for part in who)


def _erase_rejected(sql: Any, name: str, people: People) -> Counter[str]:
    """Delete the records that do not fit: looked through one by one, as nothing in them is in its place."""
    erased: Counter[str] = Counter()
    theirs = []
    with sql.execute_query(f"select pull_id, position, record from {name}") as cursor:
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            for pull_id, position, record in rows:
                if owner := people.owner_of(parse_record(record or ""), record or ""):
                    erased[owner] += 1
                    theirs.append((pull_id, position))
    for pull_id, position in theirs:
        sql.execute_sql(f"delete from {name} where pull_id = %s and position = %s", pull_id, position)
    return erased


def noted(people: People, rows: Rows, in_journal: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return the rows of `erasures`: one a person, with the pseudonym as the digest, if there is a key."""
    now = datetime.now(timezone.utc)
    pseudonyms = {digits: person for person, digits in people.pseudonyms.items()}
    return [
        {
            "erased_at": now,
            "person": pseudonyms.get(digits),
            **{table: rows[table][digits] if table in rows else None for table in WITH_PEOPLE},
            "journal_records": in_journal.get(digits, 0),
        }
        for digits in people.digits
    ]


def _note(sql: Any, people: People, rows: Rows, in_journal: Mapping[str, int]) -> None:
    name = sql.make_qualified_table_name(ERASURES)
    of_mysql = _OF_MYSQL if sql.capabilities.sqlglot_dialect == DIALECT else {}
    columns = ", ".join(f"{column} {of_mysql.get(kind, kind)}" for column, kind in _COLUMNS.items())
    sql.execute_sql(f"create table if not exists {name} ({columns})")
    for row in noted(people, rows, in_journal):
        values = (_value(sql, value) for value in row.values())
        sql.execute_sql(f"insert into {name} ({', '.join(row)}) values ({_places(row)})", *values)


def _value(sql: Any, value: Any) -> Any:
    """Return a value as the driver takes it: SQLite has texts for times, which Python is to make no more."""
    return value.isoformat(" ") if isinstance(value, datetime) and _is_sqlite(sql) else value


def _reclaim(sql: Any, tables: Iterable[str], datasets: Iterable[str]) -> None:
    """Have the database give the room of deleted rows to others, where it can be asked to."""
    dialect = sql.capabilities.sqlglot_dialect
    if dialect == "duckdb":
        sql.execute_sql("checkpoint")
    elif dialect == "postgres":
        for table, dataset in product(tables, datasets):
            with suppress(DatabaseUndefinedRelation):
                sql.execute_sql(f"vacuum {_name(sql, table, dataset)}")


def _places(values: Iterable[Any]) -> str:
    return ", ".join("%s" for _ in values)
