"""Recovery into a real PostgreSQL: what pulls in doubt lost, each once."""

import pytest

import sms_source
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP
from tests.postgres.conftest import PostgresWarehouse
from tests.recovery.conftest import number_of, receipt_of, reply_of

TEXT = "it's {odd} %s \\ \0 退订"


def test_lost_records_come_back_once(
    configured: SimulatorProcess, postgres: PostgresWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also texts that PostgreSQL can't hold as they are, equal ones, and receipts."""
    monkeypatch.setenv("SOURCES__SMS_SOURCE__PULL_FEEDS", '["replies", "receipts"]')
    configured.configure(look_up_rate_limit=0)
    reply = reply_of(1, TEXT, SignName=None)
    configured.enqueue(APP, [reply])
    sms_source.load("postgres")
    configured.enqueue(APP, [reply, reply, reply_of(2, "")])
    configured.enqueue(APP, [receipt_of(1), receipt_of(2, ReportStatus="FAIL")], feed="receipts")
    for action in ("PullSmsReplyStatus", "PullSmsSendStatus"):
        configured.fail_next("reset", action=action)
    for expected in (5, 0):
        summary = sms_source.recover("postgres", numbers=[number_of(1), number_of(2)])
        summary.raise_for_failure()
        assert summary.recovered.total() == expected
    rows = postgres.query("select channel, reply_content from sms.replies order by 1, 2")
    held = TEXT.replace("\0", "\ufffd")
    assert sorted(rows) == [("lookup", ""), ("lookup", held), ("lookup", held), ("queue", held)]
    assert postgres.query("select count(*) from sms.unique_replies") == [(4,)]
    assert postgres.query("select count(*) from sms.unique_receipts") == [(2,)]
    recovered = postgres.query("select feed, recovered from sms.pulls_in_doubt order by 1")
    assert recovered == [("receipts", 2), ("replies", 3)]
