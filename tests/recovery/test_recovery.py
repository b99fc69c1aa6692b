"""Recovery: what pulls in doubt lost comes back once, and nothing else comes."""

import time

import pytest

import sms_source
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP
from tests.recovery.conftest import Lose, Query, number_of, receipt_of, reply_of


@pytest.fixture(autouse=True)
def unlimited(configured: SimulatorProcess) -> None:
    """Most of these tests are not about the rate."""
    configured.configure(look_up_rate_limit=0)


@pytest.mark.long
def test_what_a_pull_in_doubt_lost_comes_back(lose: Lose, query: Query) -> None:
    """Each lost reply is a row, in the channel `lookup`, and the ledger shows how many came back."""
    lose([reply_of(person, f"lost {person}") for person in range(5)])
    sms_source.load()
    assert query("select count(*) from sms.replies") == [(0,)]
    summary = sms_source.recover(numbers=[number_of(person) for person in range(7)])
    summary.raise_for_failure()
    assert (summary.recovered["replies"], summary.doubts, summary.asked) == (5, 1, 7)
    rows = query(
        "select reply_content, channel, phone_number, reply_id like 'lookup/%/1' from sms.replies order by 1"
    )
    assert rows == [(f"lost {person}", "lookup", number_of(person), True) for person in range(5)]
    assert query("select at_risk, recovered from sms.pulls_in_doubt") == [(100, 5)]


@pytest.mark.long
def test_a_second_recovery_changes_nothing(lose: Lose, query: Query) -> None:
    """It asks again, as a record may show late, and adds nothing twice."""
    lose([reply_of(person) for person in range(5)])
    sms_source.load()
    numbers = [number_of(person) for person in range(5)]
    sms_source.recover(numbers=numbers).raise_for_failure()
    before = query("select * from sms.replies order by reply_id")
    again = sms_source.recover(numbers=numbers)
    again.raise_for_failure()
    assert (again.recovered.total(), again.asked) == (0, 5)
    assert query("select * from sms.replies order by reply_id") == before


def test_what_is_there_does_not_come_twice(configured: SimulatorProcess, lose: Lose, query: Query) -> None:
    """A look-up finds what was pulled, too; what still waits in the queue is drained before."""
    configured.enqueue(APP, [reply_of(1, "pulled")])
    sms_source.load()
    lose([reply_of(1, "lost")])
    sms_source.load()
    configured.enqueue(APP, [reply_of(1, "waits")])
    summary = sms_source.recover(numbers=[number_of(1)])
    summary.raise_for_failure()
    rows = query("select reply_content, channel from sms.replies order by 1")
    assert rows == [("lost", "lookup"), ("pulled", "queue"), ("waits", "queue")]


@pytest.mark.long
def test_equal_replies_are_counted(configured: SimulatorProcess, lose: Lose, query: Query) -> None:
    """Of three equal replies of one second, one was pulled: two come back, and each view counts three."""
    reply = reply_of(1)
    configured.enqueue(APP, [reply])
    sms_source.load()
    lose([reply, reply])
    for _ in range(2):
        sms_source.recover(numbers=[number_of(1)]).raise_for_failure()
    ids = query("select channel, split_part(reply_id, '/', 3) from sms.replies order by 1, 2")
    assert [channel for channel, _ in ids] == ["lookup", "lookup", "queue"]
    assert [copy for channel, copy in ids if channel == "lookup"] == ["2", "3"]
    assert query("select count(*) from sms.unique_replies") == [(3,)]


@pytest.mark.long
def test_what_comes_later_all_the_same_is_one_reply(
    configured: SimulatorProcess, lose: Lose, query: Query
) -> None:
    """The table keeps what each channel delivered; the view has each reply once."""
    reply = reply_of(1)
    lose([reply, reply])
    sms_source.load()
    sms_source.recover(numbers=[number_of(1)]).raise_for_failure()
    configured.enqueue(APP, [reply])
    sms_source.load()
    assert query("select channel, count(*) from sms.replies group by 1 order by 1") == [
        ("lookup", 2),
        ("queue", 1),
    ]
    assert query("select channel, count(*) from sms.unique_replies group by 1 order by 1") == [
        ("lookup", 1),
        ("queue", 1),
    ]


@pytest.mark.long
def test_receipts_come_back(
    configured: SimulatorProcess, lose: Lose, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also that of a message which failed; and the feed can be chosen."""
    monkeypatch.setenv("SOURCES__SMS_SOURCE__PULL_FEEDS", '["replies", "receipts"]')
    sms_source.load()
    configured.fail_next("reset", action="PullSmsSendStatus")
    receipts = [receipt_of(1), receipt_of(2, ReportStatus="FAIL", Description="MK:0001")]
    configured.enqueue(APP, receipts, feed="receipts")
    sms_source.load()
    assert query("select feed from sms.pulls_in_doubt") == [("receipts",)]
    for _ in range(2):
        summary = sms_source.recover(numbers=[number_of(1), number_of(2)], feeds=["receipts"])
        summary.raise_for_failure()
    rows = query("select serial_no, report_status, channel from sms.receipts order by 1")
    assert rows == [("5000:1", "SUCCESS", "lookup"), ("5000:2", "FAIL", "lookup")]
    assert query("select recovered from sms.pulls_in_doubt") == [(2,)]


@pytest.mark.long
def test_a_replay_has_what_was_recovered(lose: Lose, query: Query) -> None:
    """It is in the journal like everything else, under the same ids."""
    lose([reply_of(person) for person in range(5)])
    sms_source.load()
    sms_source.recover(numbers=[number_of(person) for person in range(5)]).raise_for_failure()
    before = query("select reply_id, channel, reply_content, request_id from sms.replies order by 1")
    sms_source.load(replay=True)
    assert query("select reply_id, channel, reply_content, request_id from sms.replies order by 1") == before
    sms_source.load(replay=True, dataset_name="again")
    assert (
        query("select reply_id, channel, reply_content, request_id from again.replies order by 1") == before
    )
    assert query("select count(*) from again.pulls") == query("select count(*) from sms.pulls") == [(1,)]


@pytest.mark.long
def test_by_default_the_people_of_the_tables_are_asked_about(
    configured: SimulatorProcess, lose: Lose, query: Query
) -> None:
    """Who replied in the last seven days may have replied again."""
    configured.enqueue(APP, [reply_of(1), reply_of(2, ago=9 * 86_400)])
    sms_source.load()
    lose([reply_of(1, "lost"), reply_of(3, "of somebody unknown")])
    summary = sms_source.recover()
    summary.raise_for_failure()
    assert (summary.to_ask, summary.recovered["replies"]) == (1, 1)


@pytest.mark.long
def test_what_the_retention_deleted_stays_deleted(
    configured: SimulatorProcess, lose: Lose, query: Query
) -> None:
    """It is missing, but not lost: nothing that may be older than the tables keep rows is asked for."""
    configured.enqueue(APP, [reply_of(1, "deleted", ago=3 * 86_400)])
    sms_source.load()
    time.sleep(0.1)
    sms_source.load(tables_retention_days=0.001 / 86_400)
    assert query("select count(*) from sms.replies") == [(0,)]
    lose([reply_of(1, "lost"), reply_of(2, "lost, too", ago=86_400)])
    numbers = [number_of(1), number_of(2)]
    sms_source.recover(numbers=numbers, tables_retention_days=2).raise_for_failure()
    assert query("select reply_content from sms.replies order by 1") == [("lost",), ("lost, too",)]


@pytest.mark.long
@pytest.mark.parametrize("key", [None, "a key of this test, and long"])
def test_what_fits_no_table_comes_back_too(
    configured: SimulatorProcess, lose: Lose, query: Query, key: str | None
) -> None:
    """It is rejected verbatim, once; of two equal ones, of which one was pulled, one comes back."""
    misfit = reply_of(1, "it's 100%s of the_table \\ “退订”", SignName=7)
    configured.enqueue(APP, [misfit])
    sms_source.load(pseudonym_key=key)
    lose([misfit, reply_of(2, ReplyContent=5)])
    numbers = [number_of(1), number_of(2)]
    summary = sms_source.recover(numbers=numbers, pseudonym_key=key)
    summary.raise_for_failure()
    assert (summary.misfits, summary.recovered.total()) == (2, 0)
    assert "2 records fit no table" in "\n".join(summary.lines())
    again = sms_source.recover(numbers=numbers, pseudonym_key=key)
    again.raise_for_failure()
    assert again.misfits == 0
    rows = (
        "select feed, pull_id like 'lookup/%', position, reason, record from sms.rejected_records "
        "order by all"
    )
    found = query(rows)
    assert [row[:4] for row in found] == [
        ("replies", False, 0, "SignName is an integer, not a string"),
        ("replies", True, 0, "ReplyContent is an integer, not a string"),
        ("replies", True, 0, "SignName is an integer, not a string"),
    ]
    assert found[0][4] == found[2][4]
    assert (number_of(1) in found[0][4]) == (key is None)
    sms_source.load(replay=True, pseudonym_key=key)
    assert query(rows) == found


def test_without_a_doubt_nothing_is_asked(configured: SimulatorProcess) -> None:
    """There is nothing to recover."""
    configured.enqueue(APP, [reply_of(1)])
    summary = sms_source.recover()
    summary.raise_for_failure()
    assert (summary.doubts, configured.stats().look_ups) == (0, 0)
    assert "No pull is in doubt" in "\n".join(summary.lines())
