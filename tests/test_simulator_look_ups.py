"""The simulator's look-ups by phone number, with each way in which Tencent's may turn out to work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from sms_source.simulator import (
    LOOK_UP_RECEIPTS,
    LOOK_UP_REPLIES,
    PULL_RECEIPTS,
    PULL_REPLIES,
    RECEIPTS,
    REPLIES,
    Outcome,
    Simulator,
)
from tests.simulator_client import APP, Client, look_up, receipts, replies, sdk_client

NUMBER = "+8612000000001"
NOW = int(time.time())
FEEDS = pytest.mark.parametrize("feed", [REPLIES, RECEIPTS])


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """Run a simulator with one application, and keep the official client from proxies."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Simulator([APP], look_up_rate_limit=0) as running:
        yield running


@pytest.fixture
def client(simulator: Simulator) -> Client:
    """Return a client of that simulator."""
    return Client(simulator)


def records(feed: str, *ages: int) -> list[dict[str, Any]]:
    """Return records of one number, so many seconds old."""
    made: list[dict[str, Any]] = list(receipts(len(ages)) if feed == RECEIPTS else replies(len(ages)))
    field = "UserReceiveTime" if feed == RECEIPTS else "ReplyTime"
    return [
        {**record, "PhoneNumber": NUMBER, field: NOW - age} for record, age in zip(made, ages, strict=True)
    ]


@FEEDS
def test_number_and_window_select(simulator: Simulator, client: Client, feed: str) -> None:
    """Records of the number and the window are found, whatever else is there, in the queue's order."""
    mine = records(feed, 9, 99)
    simulator.enqueue(APP, [*mine, *replies(3), b"no JSON +8612000000001", None], feed=feed)
    simulator.enqueue(APP, records(feed, 1), feed=feed, region="ap-beijing")
    simulator.enqueue(APP, records(feed, 1), feed=REPLIES if feed == RECEIPTS else RECEIPTS)
    assert look_up(client, NUMBER, NOW - 50, feed).records == mine[:1]
    assert look_up(client, NUMBER, NOW - 500, feed).records == mine
    assert look_up(client, NUMBER, NOW - 500, feed, EndTime=NOW - 50).records == mine[1:]
    assert look_up(client, NUMBER, NOW - 500, feed, Limit=1).records == mine[:1]
    assert look_up(client, "+8612000000002", NOW - 500, feed).records == []


@FEEDS
def test_look_ups_consume_nothing(simulator: Simulator, client: Client, feed: str) -> None:
    """What was pulled is found, what is found can be pulled, and found again."""
    mine = records(feed, 9, 99)
    simulator.enqueue(APP, mine, feed=feed)
    action = PULL_RECEIPTS if feed == RECEIPTS else PULL_REPLIES
    for _ in range(2):
        assert look_up(client, NUMBER, NOW - 500, feed).records == mine
    assert client.pull(1, action=action).records == mine[:1]
    assert look_up(client, NUMBER, NOW - 500, feed).records == mine
    assert simulator.stats(feed).queued[f"{APP}/ap-guangzhou"] == 1


@FEEDS
def test_look_ups_can_consume(simulator: Simulator, client: Client, feed: str) -> None:
    """By a setting, what was found is in neither the queue nor a second look-up; equal ones go one by one."""
    mine = records(feed, 9, 99)
    mine += mine[1:]
    simulator.enqueue(APP, mine, feed=feed)
    simulator.configure(look_up_consumes=True)
    action = PULL_RECEIPTS if feed == RECEIPTS else PULL_REPLIES
    assert look_up(client, NUMBER, NOW - 500, feed, Limit=2).records == mine[:2]
    assert look_up(client, NUMBER, NOW - 500, feed).records == mine[2:]
    assert look_up(client, NUMBER, NOW - 500, feed).records == []
    assert client.pull(action=action).records == []


def test_look_up_can_lag_behind_the_queue() -> None:
    """By a setting, a record shows in look-ups some seconds after it can be pulled."""
    clock = [time.time()]
    with Simulator([APP], clock=lambda: clock[0], look_up_delay=120) as simulator:
        client = Client(simulator)
        mine = records(REPLIES, 9)
        simulator.enqueue(APP, mine)
        assert client.pull().records == mine
        found = []
        for seconds in (0, 119, 1):
            clock[0] += seconds
            found.append(look_up(client, NUMBER, NOW - 500).records)
        assert found == [[], [], mine]


@pytest.mark.parametrize(
    ("ends", "ages"), [("both", [50, 10, 0]), ("begin", [50, 10]), ("end", [10, 0]), ("neither", [10])]
)
def test_ends_of_a_window_belong_to_it_or_not(
    simulator: Simulator, client: Client, ends: str, ages: list[int]
) -> None:
    """By a setting, a record of the window's first or last second is in it or not."""
    simulator.enqueue(APP, records(RECEIPTS, 50, 10, 0))
    simulator.enqueue(APP, records(RECEIPTS, 50, 10, 0), feed=RECEIPTS)
    simulator.configure(look_up_ends=ends)
    found = look_up(client, NUMBER, NOW - 50, RECEIPTS, EndTime=NOW).records
    assert [NOW - record["UserReceiveTime"] for record in found] == ages


def test_window_can_be_of_the_send(simulator: Simulator, client: Client) -> None:
    """By a setting, a window compares the time of the message that was replied to."""
    mine = records(REPLIES, 10)
    simulator.enqueue(APP, mine)
    simulator.configure(look_up_send_lag=60)
    assert look_up(client, NUMBER, NOW - 50).records == []
    assert look_up(client, NUMBER, NOW - 80, EndTime=NOW - 60).records == mine


def test_newest_can_come_first(simulator: Simulator, client: Client) -> None:
    """By a setting, a look-up begins with the last record of the queue, whatever its limit."""
    mine = records(REPLIES, 30, 20, 10)
    simulator.enqueue(APP, mine)
    simulator.configure(look_up_newest_first=True)
    assert look_up(client, NUMBER, NOW - 50, Limit=2).records == [mine[2], mine[1]]


def test_history_grows_after_a_look_up(simulator: Simulator, client: Client) -> None:
    """What is enqueued between two look-ups is found by the second."""
    first, second = records(REPLIES, 30), records(REPLIES, 20)
    simulator.enqueue(APP, first)
    assert look_up(client, NUMBER, NOW - 50).records == first
    simulator.enqueue(APP, second)
    assert look_up(client, NUMBER, NOW - 50).records == first + second


def test_at_most_a_hundred_are_found(simulator: Simulator, client: Client) -> None:
    """More than 100 records of a window need narrower windows."""
    simulator.enqueue(APP, records(REPLIES, *range(150)))
    assert len(look_up(client, NUMBER, NOW - 500).records) == 100
    assert len(look_up(client, NUMBER, NOW - 99).records) == 100
    assert len(look_up(client, NUMBER, NOW - 500, EndTime=NOW - 100).records) == 50


def test_look_ups_are_logged_apart(simulator: Simulator, client: Client) -> None:
    """The log of pulls stays what the queues handed out; look-ups have a log of their own."""
    mine = records(REPLIES, 9)
    simulator.enqueue(APP, mine)
    look_up(client, NUMBER, NOW - 50)
    look_up(client, "nobody", NOW - 50, RECEIPTS)
    client.pull()
    first, second = simulator.look_ups()
    assert (first.records, first.phone_number, first.delivered, first.feed) == (mine, NUMBER, True, REPLIES)
    refused = "InvalidParameterValue.IncorrectPhoneNumber"
    assert (second.outcome, second.code, second.feed) == (Outcome.REFUSED, refused, RECEIPTS)
    assert [pull.is_look_up for pull in simulator.log()] == [False]
    stats = simulator.stats()
    assert (stats.look_ups, stats.pulls, stats.handed_out, stats.lost) == (2, 1, 1, 0)
    assert stats.outcomes == {"answered": 1}


def test_official_sdk_looks_up(simulator: Simulator) -> None:
    """The official client finds replies and receipts of a number."""
    asked = {"BeginTime": NOW - 50, "Offset": 0, "Limit": 9, "PhoneNumber": NUMBER, "SmsSdkAppId": APP}
    for feed, action, result_set in (
        (REPLIES, LOOK_UP_REPLIES, "PullSmsReplyStatusSet"),
        (RECEIPTS, LOOK_UP_RECEIPTS, "PullSmsSendStatusSet"),
    ):
        simulator.enqueue(APP, records(feed, 9), feed=feed)
        assert sdk_client(simulator).call_json(action, asked)["Response"][result_set] == records(feed, 9)
