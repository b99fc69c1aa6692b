"""Pulls become tables of some thousand rows, and counts."""

from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest

from sms_source import settings
from sms_source.feeds import REPLIES
from sms_source.journal.pull import Pull
from sms_source.loading.batches import batches, count
from sms_source.loading.tables import to_tables
from sms_source.pulling.report import DrainReport
from tests.conftest import APP, OTHER_APP, a_reply
from tests.helpers.journals import body_of

MOMENT = datetime(2026, 11, 24, tzinfo=timezone.utc)


def a_pull(records: list[Any], number: int = 1, app: str = APP, **fields: Any) -> Pull:
    """Return a pull with these records."""
    pull = Pull(f"20261124T000000000000Z-0123abcd/{number:06d}", "replies", app, "ap-guangzhou", 100, MOMENT)
    return replace(pull, records=records, body=body_of(*records), answered_at=MOMENT, **fields)


@pytest.mark.parametrize(
    ("name", "value"), [("TABLE_RECORDS", 4), ("TABLE_BYTES", 100), ("TABLE_SECONDS", 0.0)]
)
def test_a_batch_ends_when_it_is_large_or_old(
    monkeypatch: pytest.MonkeyPatch, name: str, value: float
) -> None:
    """By records, by bytes, by time; what is left over is the last one."""
    monkeypatch.setattr(settings, name, value)
    pulls = [a_pull([{}] * 2, number) for number in range(5)]
    sizes = [len(batch) for batch in batches(pulls)]
    assert sizes == ([1] * 5 if name == "TABLE_SECONDS" else [2, 2, 1])


def test_no_pull_is_no_batch() -> None:
    """An empty table would be a load for nothing."""
    assert list(batches([])) == []


def test_a_report_counts_rows_by_application_and_what_is_in_doubt() -> None:
    """What does not fit is counted apart, and the newest reply is the latest by its own time."""
    pulls = [
        a_pull([a_reply("a", ReplyTime=1_700_000_000), a_reply("b", ReplyTime=1_600_000_000), "no record"]),
        a_pull([a_reply("c", ReplyTime=1_650_000_000)], 2, OTHER_APP),
        a_pull([], 3, error="Client.Timeout: x"),
    ]
    report = DrainReport()
    count(report, pulls, to_tables(pulls, [REPLIES], {}))
    assert report.pulls == {APP: 2, OTHER_APP: 1}
    assert report.records == {("replies", APP): 2, ("replies", OTHER_APP): 1}
    assert (report.rejected, report.in_doubt, report.at_risk) == (1, 1, 100)
    assert report.newest == datetime.fromtimestamp(1_700_000_000, timezone.utc)


def test_what_is_no_row_of_the_ledger_is_no_pull() -> None:
    """A look-up and a push bring records, and the report counts those."""
    pulls = [a_pull([a_reply("a")]), *(a_pull([a_reply("b")], 2, channel=c) for c in ("lookup", "callback"))]
    tables = to_tables(pulls, [REPLIES], {})
    report = DrainReport()
    count(report, pulls, tables)
    assert report.pulls.total() == tables.pulls.num_rows == 1
    assert report.records.total() == 3
