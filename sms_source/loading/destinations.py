"""How rows go into each of dlt's destinations: exactly once, and as they are.

A merge is another thing in each destination, and in some dlt quietly makes it an append. So, before the
first pull, the merge that dlt would make is looked up, and a destination in which a load that was killed
and resumed could leave a row twice is refused:

    delete-insert   dlt's own merge. Also takes out duplicates within a load package; every SQL database.
                    Refused where it is not one transaction
    upsert          proved for Delta tables, where one commit takes in all of a table's files, and for
                    Iceberg tables whose catalog outlives the process, a thousand rows a commit
    none            rows would be appended: refused
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping
from typing import Any, cast

import dlt
import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.destination import AnyDestination, DestinationCapabilitiesContext
from dlt.common.destination.utils import resolve_merge_strategy
from dlt.common.schema.typing import TTableSchema
from dlt.extract import DltSource

from sms_source.errors import ConfigurationError
from sms_source.feeds import FEEDS, Feed
from sms_source.loading.extensions import have_extensions
from sms_source.loading.lakehouse import DELTA, ICEBERG, has_lasting_catalog, have_namespace, have_package
from sms_source.loading.mysql import hold_any_text
from sms_source.loading.obstacles import KEYS
from sms_source.loading.tables import Tables
from sms_source.loading.target import kind_of, merges_in_one_transaction

TABLES = (*FEEDS, "pulls", "rejected_records")
"""The resources whose rows are loaded."""

HOLDS_NUL = ("duckdb", "filesystem")
"""Kinds of destinations that are known to hold the character U+0000. PostgreSQL can't, and a package with
one would never load; dlt drops it on the way to others."""

_PRUNING = ("duckdb",)
"""Kinds of destinations known to pass over the parts of a table in which a timestamp can't be."""

_SCOPED = (*_PRUNING, "sqlalchemy")
"""Kinds of destinations that are told which rows a merge deletes. By itself, dlt has SQLite compare each row
of the table with each that is staged: 10,000 replies into 10,000 took more than a minute, 50,000 into 50,000
take four seconds with this (measured)."""

_SAME_ROWS = "({key}) in (select {key} from {{staging_table}})"
"""The rows that a merge deletes: those that dlt would delete by itself."""

_SAME_TIME = "pulled_at in (select pulled_at from {staging_table}) and "
"""Changes nothing about which rows these are, as a record has one `pulled_at`, that of its answer. With it,
only the newest part of the table is read: loading 10,000 replies into 10 million took a second less
(measured). Not for what is given again: somebody may have changed its `pulled_at`. What was said last is in
the destination's schema, and holds until something else is."""

_REMEDIES = {
    "filesystem": "Have Delta tables: pipeline.run(sms_source(), table_format='delta'). load() does.",
    "iceberg": (
        "Have a catalog that lasts, such as an SQL database or a REST service: iceberg_catalog_config in "
        "[iceberg_catalog]. Or have Delta tables: pipeline.run(sms_source(), table_format='delta')."
    ),
    "athena": "Have Iceberg tables, and accept them: force_iceberg = true in [destination.athena].",
}


@dataclasses.dataclass(frozen=True)
class Destination:
    """What the rows of one run need, to be in their destination once and unchanged.

    kind: of dlt's kinds of destinations, such as `postgres`.
    strategies: of dlt's merge, by table.
    file_format: of the load files; None for dlt's choice.
    first_file_format: likewise of a package that makes tables, and may have no row for one of them.
    table_format: of tables in a folder or an object store; None elsewhere. The feeds' Delta tables are in
        folders by the record's date.
    """

    kind: str
    strategies: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    file_format: str | None = None
    first_file_format: str | None = None
    table_format: str | None = None

    @property
    def partitioned(self) -> bool:
        """Whether the feeds' tables are in folders by the record's date."""
        return self.table_format == DELTA

    def fit(self, tables: Tables) -> Tables:
        """Return the tables as the destination can hold them."""
        if self.kind not in HOLDS_NUL:
            records = {name: _without_nul(table) for name, table in tables.records.items()}
            tables = Tables(records, _without_nul(tables.pulls), _without_nul(tables.rejected))
        if self.partitioned:
            dated = {name: _with_date(FEEDS[name], table) for name, table in tables.records.items()}
            tables = dataclasses.replace(tables, records=dated)
        return tables

    def hint(self, source: DltSource, *, is_first: bool, given_again: bool) -> None:
        """Tell dlt what this destination needs.

        Args:
            source: whose resources are being extracted, and have yielded nothing yet.
            is_first: whether the package makes tables.
            given_again: whether some of it may be in the destination already.
        """
        file_format: Any = self.first_file_format if is_first else self.file_format
        for name in TABLES if file_format else ():
            source.resources[name].apply_hints(file_format=file_format)
        for name, key in KEYS.items() if self.kind in _SCOPED else ():
            is_pruned = self.kind in _PRUNING and name in FEEDS and not given_again
            scope = (_SAME_TIME if is_pruned else "") + _SAME_ROWS.format(key=", ".join(sorted(key)))
            merge: Any = {"disposition": "merge", "strategy": "delete-insert", "destination_scope": scope}
            source.resources[name].apply_hints(write_disposition=merge)
        for name, feed in FEEDS.items():
            if self.partitioned:
                column: Any = {"data_type": "date", "partition": True}
                source.resources[name].apply_hints(columns={date_column(feed): column})


NOTEBOOK = Destination(kind="duckdb")
"""Rows that somebody looks at, and nothing loads, are as in DuckDB."""


def for_pipeline(
    pipeline: dlt.Pipeline, source: DltSource, *, allow_duplicates_in: str | None = None
) -> Destination:
    """Return what a pipeline's destination needs to hold the rows of a source once; have it ready for them.

    Args:
        pipeline: with a destination.
        source: as for `for_source`.
        allow_duplicates_in: likewise.

    Raises:
        ConfigurationError: as `for_source`; or an extension that the destination needs is not here.
    """
    target = pipeline.destination
    have_extensions(kind_of(target))
    # Those of an extraction are made without credentials, whose URL tells SQLAlchemy's dialect.
    client = pipeline.destination_client()
    destination = for_source(source, target, client.capabilities, allow_duplicates_in=allow_duplicates_in)
    hold_any_text(target, client.capabilities)
    if destination.table_format == ICEBERG:
        have_namespace(client)
    return destination


def for_source(
    source: DltSource,
    destination: AnyDestination,
    capabilities: DestinationCapabilitiesContext,
    *,
    allow_duplicates_in: str | None = None,
) -> Destination:
    """Return what a destination needs to hold the rows of a source once.

    Args:
        source: with all hints that were given to it.
        destination: of dlt.
        capabilities: of the destination, by its configuration.
        allow_duplicates_in: the name of a destination that is accepted although it can't keep rows from
            being there twice.

    Raises:
        ConfigurationError: rows could be there twice after a load that was killed, or be replaced.
    """
    name, kind = destination.destination_name, kind_of(destination)
    tables = {table: _schema(source, table) for table in TABLES}
    strategies = {
        table_name: resolve_merge_strategy(tables, table, capabilities)
        for table_name, table in tables.items()
    }
    formats = {table.get("table_format") for table in tables.values()}
    lake_format = formats.pop() if kind == "filesystem" and len(formats) == 1 else None
    if lake_format in (DELTA, ICEBERG):
        have_package(lake_format)
    upserts_once = lake_format == DELTA or (lake_format == ICEBERG and has_lasting_catalog())
    is_whole = merges_in_one_transaction(kind, capabilities)
    for strategy in strategies.values():
        proved = (strategy == "delete-insert" and is_whole) or (strategy == "upsert" and upserts_once)
        if not proved and allow_duplicates_in != name:
            raise ConfigurationError(_refusal(name, kind, strategy, is_iceberg=lake_format == ICEBERG))
    # Arrow tables would go to PostgreSQL as CSV, in which dlt reads an empty text as NULL. Parquet is copied
    # by ADBC, in less time; but that fails on a file without rows.
    file_formats = capabilities.supported_loader_file_formats or ()
    by_insert = capabilities.sqlglot_dialect == "postgres" and "insert_values" in file_formats
    by_copy = kind == "postgres" and importlib.util.find_spec("adbc_driver_postgresql") is not None
    return Destination(
        kind=kind,
        strategies=strategies,
        file_format="parquet" if by_copy else "insert_values" if by_insert else None,
        first_file_format="insert_values" if by_insert else None,
        table_format=lake_format,
    )


def date_column(feed: Feed) -> str:
    """Return the column that a lakehouse's folders are by."""
    return f"{feed.record}_date"


def _with_date(feed: Feed, table: pa.Table) -> pa.Table:
    return table.append_column(date_column(feed), table[feed.time_field].cast(pa.date32()))


def remedy_for(kind: str, strategy: str | None, *, is_iceberg: bool = False) -> str:
    """Return what to do when a destination of this kind, with this merge, is refused."""
    default = "Choose another one, such as duckdb or postgres."
    if is_iceberg:
        return _REMEDIES[ICEBERG]
    return _REMEDIES.get(kind, default) if strategy is None or kind == "filesystem" else default


def _refusal(name: str, kind: str, strategy: str | None, *, is_iceberg: bool) -> str:
    if kind == "dummy":
        reason = "it keeps nothing, and a reply is handed out once"
    elif strategy is None:
        reason = "dlt can't merge there and would append, so that a row could be there twice"
    elif is_iceberg:
        reason = (
            "the catalog of its Iceberg tables is gone with the process, and without it a kill while a "
            "metadata file is being written leaves a table that no later run can open"
        )
    elif strategy == "delete-insert":
        reason = (
            "dlt's DELETE and INSERT are no transaction there. What the server still does for a job that was "
            "killed can meet the next run's merge and leave a row there twice, and a replay that is killed "
            "between the two leaves rows out until it is made again"
        )
    else:
        reason = (
            f"dlt would merge there by {strategy!r}, with which a load that is killed and resumed "
            "could leave a row there twice"
        )
    return (
        f"The destination {name!r} is refused: {reason}. "
        f"{remedy_for(kind, strategy, is_iceberg=is_iceberg)} "
        f"To accept it all the same: allow_duplicates_in = {name!r}, as an option or in [sources.sms_source]."
    )


def _schema(source: DltSource, name: str) -> TTableSchema:
    """Return the table's schema with the hints of this run, over those of earlier ones."""
    schema = {**source.schema.tables.get(name, {}), **source.resources[name].compute_table_schema()}
    return cast("TTableSchema", schema)


def _without_nul(table: pa.Table) -> pa.Table:
    """Return the table with U+FFFD for each U+0000."""
    for index, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            column = table.column(index)
            if pc.any(pc.match_substring(column, "\0")).as_py():
                table = table.set_column(index, field, pc.replace_substring(column, "\0", "\ufffd"))
    return table
