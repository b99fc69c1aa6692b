"""Puts the views into a destination, and leaves alone what is right already."""

import hashlib
import logging
import zoneinfo
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from dlt.destinations.sql_client import SqlClientBase

from sms_source.views.sql import VIEWS, literal, opts_in, read_view, view_sql

logger = logging.getLogger(__name__)

_LOOK_UP = {
    "duckdb": """
        select table_name, table_type = 'VIEW', table_comment
        from information_schema.tables
        where table_catalog = current_database() and table_schema = %s
    """,
    "postgres": """
        select relname, relkind = 'v', obj_description(pg_class.oid, 'pg_class')
        from pg_class join pg_namespace on pg_namespace.oid = pg_class.relnamespace
        where nspname = %s and relkind in ('r', 'v', 'm', 'f', 'p')
    """,
}
"""What is in a dataset, by sqlglot's dialect: name, whether it is a view, comment. In these dialects, which
are tested, views are made: each in a transaction, with a comment that says what it was made from."""

DIALECTS = tuple(_LOOK_UP)
"""sqlglot's names of the dialects in which views are made."""


class _Relation(NamedTuple):
    """A table or a view of the dataset."""

    is_view: bool
    comment: str


def create_views(
    client: SqlClientBase[Any],
    tables: Collection[str],
    *,
    opt_out_words: Sequence[str] = (),
    views_time_zone: str = "UTC",
) -> list[str]:
    """Create or replace the views in the client's dataset, those whose tables are there.

    On DuckDB and PostgreSQL; elsewhere, the log says why there are none.

    A view that is there already, made from the same SQL, costs nothing: all are looked up by one query.
    What somebody else made under a view's name stays.

    Args:
        client: of dlt, open; its dataset has the tables.
        tables: that exist in the dataset.
        opt_out_words: words beside those of `opt_out_words.csv`, in any case and form; they count everywhere.
        views_time_zone: of `reply_hours`, a name of the IANA database.

    Returns:
        A warning for each view that was not made, or option that was not used: what, why, and what to do.
    """
    dialect = client.capabilities.sqlglot_dialect or ""
    if dialect not in DIALECTS:
        logger.info("No views are made: they are tried on DuckDB and PostgreSQL alone. See docs/queries.md.")
        return []
    warnings: list[str] = []
    words = _keywords_of(opt_out_words, warnings)
    time_zone = _known_time_zone(views_time_zone, warnings)
    there = _relations(client, dialect)
    digests: dict[str, str] = {}

    def sql(name: str, dialect: str = "duckdb") -> str:
        return view_sql(
            name,
            dialect,
            client.make_qualified_table_name,
            tables=tables,
            extra_words=words,
            time_zone=time_zone,
        )

    for name in VIEWS:
        view = read_view(name)
        if not view.needs.issubset(tables):
            continue
        described = (view.meaning, *view.columns.values())
        digests[name] = _digest(sql(name), *described, *(digests[other] for other in view.reads))
        mark = f"[sms_source {digests[name]}]"
        found = there.get(name)
        if found and found.comment.endswith(mark):
            continue
        if found and not (found.is_view and "[sms_source " in found.comment):
            kind = "view" if found.is_view else "table"
            warnings.append(
                f"The view {name} is not made: the dataset {client.dataset_name} has a {kind} of that name "
                "that is not the connector's. Rename or drop it, and the next load makes the view."
            )
            continue
        try:
            _create(client, name, sql(name, dialect), mark, there)
        except Exception as error:  # noqa: BLE001 - whatever a view meets, it is not worth a load
            found = _relations(client, dialect).get(name)
            if found and found.comment.endswith(mark):
                continue  # another job of the dataset has just made it
            reason = str(error).strip().partition("\n")[0]
            warnings.append(f"The view {name} is not made: {type(error).__name__}: {reason}")
    return warnings


def _create(client: SqlClientBase[Any], name: str, sql: str, mark: str, there: dict[str, _Relation]) -> None:
    """Create or replace one view, with its description."""
    relation = client.make_qualified_table_name(name)
    create = f"create or replace view {relation} as\n{sql}"
    try:
        with client.begin_transaction():
            _execute(client, create, *_comments(client, name, mark))
    except Exception:
        if name not in there:
            raise
        # PostgreSQL replaces a view only by one with the same columns and more: drop it, and what reads it.
        stale = [other for other in reversed(VIEWS) if other in there and _reads(other, name)]
        drops = [f"drop view if exists {client.make_qualified_table_name(other)}" for other in stale]
        with client.begin_transaction():
            _execute(client, *drops, create, *_comments(client, name, mark))
        for other in stale:
            del there[other]


def _reads(view: str, other: str) -> bool:
    """Return whether a view is the other one, or reads it, directly or by a third."""
    return view == other or any(_reads(read, other) for read in read_view(view).reads)


def _comments(client: SqlClientBase[Any], name: str, mark: str) -> Iterator[str]:
    relation = client.make_qualified_table_name(name)
    view = read_view(name)
    # DuckLake keeps a comment on a view, and none on its columns.
    columns = {} if type(client).__name__ == "DuckLakeSqlClient" else view.columns
    for column, meaning in columns.items():
        yield f"comment on column {relation}.{client.escape_column_name(column)} is {literal(meaning)}"
    yield f"comment on view {relation} is {literal(f'{view.meaning} {mark}')}"


def _execute(client: SqlClientBase[Any], *statements: str) -> None:
    for statement in statements:
        client.execute_sql(statement)


def _relations(client: SqlClientBase[Any], dialect: str) -> dict[str, _Relation]:
    *_, dataset = client.make_qualified_table_name_path(None, quote=False)
    rows = client.execute_sql(_LOOK_UP[dialect], dataset) or ()
    return {name: _Relation(is_view, comment or "") for name, is_view, comment in rows}


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _keywords_of(words: Sequence[str], warnings: list[str]) -> list[str]:
    """Return the words as they are in the column `keyword`, those that can opt people out."""
    if not words:
        return []
    import pyarrow as pa  # noqa: PLC0415 - the words are few, and mostly none

    from sms_source.keywords import keywords  # noqa: PLC0415

    found = keywords(pa.array(words, pa.string())).to_pylist()
    usable: list[str] = []
    for word, keyword in zip(words, found, strict=True):
        if keyword is None:
            warnings.append(
                f"opt_out_words has {word!r}, which no reply's keyword can be: expected 1 to 20 letters and "
                "digits."
            )
        elif opts_in(keyword):
            warnings.append(
                f"opt_out_words has {word!r}, which opts people in again: remove it. It does not count."
            )
        else:
            usable.append(keyword)
    return list(dict.fromkeys(usable))


def _known_time_zone(name: str, warnings: list[str]) -> str:
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        warnings.append(
            f"views_time_zone is {name!r}; expected a name such as 'Asia/Shanghai'. reply_hours is in UTC."
        )
        return "UTC"
    return name
