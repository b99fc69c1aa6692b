"""Answers that need replies and receipts matched by number: of a period, and a part of the numbers at a time.

Of many millions the whole match does not fit into the memory that a page may take, and going to a disk
for it takes several times as long. A person is in one part alone, so the parts' answers add up. Views that
are read together share the costly one that both stand on.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone

from sms_source.report.warehouse import Warehouse

ROWS = 2_500_000
"""Replies, or receipts, of a part."""

_WINDOW = timedelta(hours=72)
"""How long before a reply its message may have arrived, as in `reply_attributions`."""
_SHARED = "reply_attributions"
_READER = "response_rates"


def gather(warehouse: Warehouse, queries: Mapping[str, str], since: datetime) -> dict[str, str]:
    """Ask `reply_attributions` and `response_rates`, and give the relations that have the answers.

    In DuckDB they are temporary tables. Elsewhere, and where the dataset's own views differ from this
    version's, they are the queries themselves, in parentheses.

    Args:
        warehouse: with both views.
        queries: by the name of their answer, without a `%s`; their rows are one part's, where there are
            several, and add up. They may read `unique_replies`, too.
        since: when the period begins: older replies and receipts make no difference to the queries.
    """
    if not all(map(warehouse.has_view_as_here, (_SHARED, _READER))):
        return {name: f"({query})" for name, query in queries.items()}
    begins = {
        "unique_replies": ("reply_time", since),
        "unique_receipts": ("user_receive_time", since - _WINDOW),
    }
    matched = {
        name: f"{warehouse.qualified(name)} where {column} >= timestamptz '{begin.astimezone(timezone.utc)}'"
        for name, (column, begin) in begins.items()
    }
    counts = [warehouse.row(f"select count(*) as rows from {rows}")["rows"] for rows in matched.values()]  # noqa: S608
    parts = max(1, -(-max(counts) // ROWS))
    for part in range(parts):
        people = {
            name: f"(select * from {rows} and hash(phone_number) % {parts} = {part})"  # noqa: S608
            for name, rows in matched.items()
        }
        attributions = warehouse.keep(
            "attributions",
            "select reply_id, receipt_id, response_seconds, candidates "  # noqa: S608 - our own names
            f"from {warehouse.query_of(_SHARED, **people)} as shared",
        )
        names = {**people, _SHARED: attributions}
        names[_READER] = warehouse.query_of(_READER, **names)
        for name, query in queries.items():
            into = f"insert into temp.{name}" if part else f"create or replace temporary table {name} as"
            warehouse.execute(f"{into} {query.format_map(names)}")
    warehouse.execute(f"drop table {attributions}")
    return {name: f"temp.{name}" for name in queries}
