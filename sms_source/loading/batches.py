"""Pulls as they come, gathered into Arrow tables of some thousand rows, and counted."""

import time
from collections.abc import Iterable, Iterator, Sequence

import dlt
import pyarrow as pa
import pyarrow.compute as pc

from sms_source import settings
from sms_source.journal.journal import Pull
from sms_source.loading.commits import load_id
from sms_source.loading.tables import Tables, known_new_columns, to_tables
from sms_source.pulling.report import DrainReport


def tables_of(pulls: Iterable[Pull], report: DrainReport) -> Iterator[Tables]:
    """The pulls' rows in tables of some thousands, and no later than some seconds; counted in the report."""
    schema_columns = dlt.current.source_schema().tables.get("replies", {}).get("columns", {})
    new_columns = known_new_columns(schema_columns)
    for batch in _batches(pulls):
        tables = to_tables(batch, new_columns)
        _count(report, batch, tables)
        yield tables


def for_dlt(tables: Tables, table: pa.Table) -> Iterator[pa.Table]:
    """One of the tables if it has rows, or if this is the empty batch that creates them; with its load id."""
    if not table.num_rows and tables.pulls.num_rows:
        return
    if package := load_id():
        field = pa.field("_dlt_load_id", pa.string(), nullable=False)
        table = table.append_column(field, pa.repeat(package, table.num_rows))
    yield table


def _batches(pulls: Iterable[Pull]) -> Iterator[list[Pull]]:
    batch: list[Pull] = []
    records = size = 0
    deadline = 0.0
    for pull in pulls:
        if not batch:
            deadline = time.monotonic() + settings.TABLE_SECONDS
        batch.append(pull)
        records += len(pull.records)
        size += len(pull.body)
        full = records >= settings.TABLE_REPLIES or size >= settings.TABLE_BYTES
        if full or time.monotonic() >= deadline:
            yield batch
            batch, records, size = [], 0, 0
    if batch:
        yield batch


def _count(report: DrainReport, pulls: Sequence[Pull], tables: Tables) -> None:
    """Adds pulls, and the rows that they became."""
    for pull in pulls:
        report.pulls[pull.sms_sdk_app_id] += 1
        report.in_doubt += pull.in_doubt
        report.at_risk += pull.limit if pull.in_doubt else 0
    for entry in pc.value_counts(tables.replies["sms_sdk_app_id"]).to_pylist():
        report.replies[entry["values"]] += entry["counts"]
    report.rejected += tables.rejected_replies.num_rows
    newest = pc.max(tables.replies["ReplyTime"]).as_py()
    report.newest = max(filter(None, (report.newest, newest)), default=None)
