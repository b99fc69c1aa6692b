"""Answers that need replies and receipts matched by number: asked of a part of the numbers at a time.

Of many millions the whole match does not fit into the memory that a page may take, and going to a disk
for it takes several times as long. A person is in one part alone, so the parts' answers add up. Views that
are read together share the costly one that both stand on.
"""

from collections.abc import Callable, Mapping

from sms_source.report.warehouse import Warehouse
from sms_source.views import view_sql

ROWS = 3_500_000
"""Replies, or receipts, of a part."""

_PEOPLE = ("unique_replies", "unique_receipts")
_SHARED = "reply_attributions"
_READER = "response_rates"


def gather(warehouse: Warehouse, queries: Mapping[str, str]) -> dict[str, str]:
    """Ask `reply_attributions` and `response_rates`, and give the relations that have the answers.

    In DuckDB they are temporary tables. Elsewhere, and where the dataset's own views differ from this
    version's, they are the queries themselves, in parentheses.

    Args:
        warehouse: with both views.
        queries: by the name of their answer, without a `%s`; their rows are one part's, where there are
            several, and add up.
    """
    if not all(map(warehouse.has_view_as_here, (_SHARED, _READER))):
        return {name: f"({query})" for name, query in queries.items()}
    counts = [warehouse.row(f"select count(*) as rows from {{{name}}}")["rows"] for name in _PEOPLE]  # noqa: S608
    parts = max(1, -(-max(counts) // ROWS))
    for part in range(parts):
        relation = _relations(warehouse, parts, part)
        attributions = view_sql(_SHARED, relation=relation)
        shared = f"select reply_id, receipt_id, response_seconds, candidates from ({attributions}) as shared"  # noqa: S608
        warehouse.execute(f"create or replace temporary table attributions as {shared}")
        names = {_SHARED: "temp.attributions", _READER: f"({view_sql(_READER, relation=relation)})"}
        for name, query in queries.items():
            into = f"insert into temp.{name}" if part else f"create or replace temporary table {name} as"
            warehouse.execute(f"{into} {query.format_map(names)}")
    warehouse.execute("drop table temp.attributions")
    return {name: f"temp.{name}" for name in queries}


def _relations(warehouse: Warehouse, parts: int, part: int) -> Callable[[str], str]:
    """Return what the views read, for one part of the numbers."""

    def relation(name: str) -> str:
        qualified = warehouse.qualified(name)
        if name == _SHARED:
            return "temp.attributions"
        if name in _PEOPLE and parts > 1:
            return f"(select * from {qualified} where hash(phone_number) % {parts} = {part})"  # noqa: S608
        return qualified

    return relation
