"""Pulls as they come, gathered into Arrow tables of some thousand rows, and counted."""

import time
from collections.abc import Iterable, Iterator, Sequence

import pyarrow.compute as pc

from sms_source import settings
from sms_source.api.pushes import UNKNOWN_APPLICATION
from sms_source.feeds import REPLIES
from sms_source.journal.pull import Pull
from sms_source.loading.tables import Tables
from sms_source.pulling.report import DrainReport


def batches(pulls: Iterable[Pull]) -> Iterator[list[Pull]]:
    """Gather pulls until they are some thousand records, or some megabytes, or some seconds old."""
    batch: list[Pull] = []
    records = size = 0
    deadline = 0.0
    for pull in pulls:
        if not batch:
            deadline = time.monotonic() + settings.TABLE_SECONDS
        batch.append(pull)
        records += 1 + len(pull.records)  # its row in the ledger, too
        size += len(pull.body)
        full = records >= settings.TABLE_RECORDS or size >= settings.TABLE_BYTES
        if full or time.monotonic() >= deadline:
            yield batch
            batch, records, size = [], 0, 0
    if batch:
        yield batch


def count(report: DrainReport, pulls: Sequence[Pull], tables: Tables) -> None:
    """Add pulls, and the rows that they became, to a report."""
    for pull in pulls:
        report.pulls[pull.sms_sdk_app_id] += pull.channel == "queue"
        report.pushed += len(pull.records) if pull.channel == "callback" else 0
        report.in_doubt += pull.in_doubt
        report.at_risk += pull.at_risk
    for feed, table in tables.records.items():
        for entry in pc.value_counts(table["sms_sdk_app_id"]).to_pylist():
            report.records[feed, entry["values"] or UNKNOWN_APPLICATION] += entry["counts"]
    report.rejected += tables.rejected.num_rows
    if REPLIES.name in tables.records:
        newest = pc.max(tables.records[REPLIES.name][REPLIES.time_field]).as_py()
        report.newest = max(filter(None, (report.newest, newest)), default=None)
