"""The resources of the source: a table for each feed, the ledger, the records that do not fit.

All of them share one drain of the queues, the resource `drain`, which is no table.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

import dlt
import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.normalizers.naming.snake_case import NamingConvention
from dlt.extract import DltResource

from sms_source.feeds import FEEDS, Feed
from sms_source.loading.descriptions import DESCRIPTIONS
from sms_source.loading.tables import PULLS, REJECTED, Tables

DRAIN = "drain"
_naming = NamingConvention()


def _columns(table: str, fields: Iterable[str] = ()) -> Any:
    """Return the descriptions of a table's columns, by the names that they have before dlt's naming."""
    names = {_naming.normalize_identifier(field): field for field in fields}
    described = {names.get(name, name): text for name, text in DESCRIPTIONS[table].items()}
    return {name: {"name": name, "description": text} for name, text in described.items()}


def _rows(tables: Tables, name: str) -> Iterator[pa.Table]:
    """Yield one of the tables if it has rows, or if this is the empty batch that creates them all."""
    by_name = tables.by_name()
    table = by_name.get(name)
    if table is not None and (table.num_rows or not any(each.num_rows for each in by_name.values())):
        yield table


def _feed_resource(feed: Feed) -> DltResource:
    """Return the resource of a feed's table; its time is the cursor, and never a filter: late is not lost."""

    def records(
        tables: Tables,
        cursor: dlt.sources.incremental[datetime] = dlt.sources.incremental(  # noqa: B008
            feed.time_field, on_cursor_value_missing="include", allow_external_schedulers=False
        ),
    ) -> Iterator[pa.Table]:
        for table in _rows(tables, feed.name):
            newest = pc.max(table[feed.time_field]).as_py()
            if newest is not None:
                cursor.advance(max(newest, cursor.last_value or newest))
            yield table

    records.__doc__ = f"Each {feed.record}, once."
    return dlt.transformer(
        records,
        name=feed.name,
        primary_key=feed.record_id,
        write_disposition="merge",
        columns=_columns(feed.name, feed.fields),
    )


@dlt.transformer(name=PULLS, primary_key="pull_id", write_disposition="merge", columns=_columns(PULLS))
def pulls(tables: Tables) -> Iterator[pa.Table]:
    """Yield the ledger: each pull that handed out records, or whose outcome is unknown."""
    yield from _rows(tables, PULLS)


@dlt.transformer(
    name=REJECTED, primary_key=("pull_id", "position"), write_disposition="merge", columns=_columns(REJECTED)
)
def rejected_records(tables: Tables) -> Iterator[pa.Table]:
    """Yield records that do not fit, verbatim, with the reason."""
    yield from _rows(tables, REJECTED)


def resources_of(tables: Callable[[], Iterator[Tables]]) -> list[DltResource]:
    """Return the resources that share what `tables` yields."""

    @dlt.resource(name=DRAIN, selected=False)
    def drain() -> Iterator[Tables]:
        """Yield the rows of one extraction, before they part into tables."""
        yield from tables()

    # A feed's resource is made anew: its cursor keeps the pipe that it ran in last, and the journal with it.
    feed_resources = (_feed_resource(feed) for feed in FEEDS.values())
    return [drain, *(drain | resource for resource in (*feed_resources, pulls, rejected_records))]
