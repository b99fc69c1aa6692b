"""What the simulator pushes to callback URLs, held against a real receiver."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from sms_source.simulator import RECEIPTS, REPLIES, Account, Simulator, SimulatorProcess
from tests.callback_receiver import Receiver
from tests.simulator_client import APP, Client, receipts, replies

OTHER_APP = "1400007777"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Run a receiver that accepts all."""
    with Receiver() as running:
        yield running


@pytest.fixture
def simulator(receiver: Receiver) -> Iterator[Simulator]:
    """Run a simulator that pushes replies and one application's receipts, without pauses."""
    with Simulator([APP, OTHER_APP], push_retry_seconds=0) as running:
        running.push_to(REPLIES, f"{receiver.url}/secret/replies")
        running.push_to(RECEIPTS, f"{receiver.url}/secret/receipts/{APP}", app_id=APP)
        yield running


def queued(simulator: Simulator, feed: str) -> int:
    """Return how many records of a feed wait."""
    return sum(simulator.stats(feed).queued.values())


def test_reply_is_pushed_as_documented(simulator: Simulator, receiver: Receiver) -> None:
    """One JSON object a request, with the callback's keys; an empty extension code is left out."""
    reply: dict[str, Any] = replies(1)[0]
    simulator.enqueue(APP, [reply, {**reply, "ExtendCode": ""}])
    simulator.wait_for_pushes()
    pushed = {
        "mobile": reply["SubscriberNumber"],
        "nationcode": reply["CountryCode"],
        "sign": reply["SignName"],
        "text": reply["ReplyContent"],
        "time": reply["ReplyTime"],
    }
    assert [push.body for push in receiver.received] == [{**pushed, "extend": reply["ExtendCode"]}, pushed]
    assert {push.path for push in receiver.received} == {"/secret/replies"}


def test_receipts_are_pushed_as_documented(simulator: Simulator, receiver: Receiver) -> None:
    """An array, its times in Beijing without a zone; the session context where there is one."""
    receipt: dict[str, Any] = {**receipts(1)[0], "UserReceiveTime": 1_570_526_317, "ReportStatus": "SUCCESS"}
    receipt |= {"Description": "DELIVRD", "SessionContext": "order-1"}
    failure = {**receipt, "ReportStatus": "FAIL", "Description": "MX:0012", "SessionContext": None}
    simulator.enqueue(APP, [receipt, failure], feed=RECEIPTS)
    simulator.wait_for_pushes()
    pushed = {
        "user_receive_time": "2019-10-08 17:18:37",
        "nationcode": receipt["CountryCode"],
        "mobile": receipt["SubscriberNumber"],
        "report_status": "SUCCESS",
        "errmsg": "DELIVRD",
        "description": "用户短信送达成功",
        "sid": receipt["SerialNo"],
    }
    failed = {**pushed, "report_status": "FAIL", "errmsg": "MX:0012", "description": "用户短信送达失败"}
    (push,) = receiver.received
    assert push == (f"/secret/receipts/{APP}", [{**pushed, "ext": "order-1"}, failed])


def test_hundred_receipts_are_a_push(simulator: Simulator, receiver: Receiver) -> None:
    """An array has at most 100, and those of an application without a URL are not pushed."""
    simulator.enqueue(APP, receipts(250), feed=RECEIPTS)
    simulator.enqueue(OTHER_APP, receipts(5), feed=RECEIPTS)
    simulator.wait_for_pushes()
    assert [len(push.body) for push in receiver.received] == [100, 100, 50]
    assert [entry["sid"] for push in receiver.received for entry in push.body] == [
        receipt["SerialNo"] for receipt in receipts(250)
    ]
    assert [(push.count, push.accepted) for push in simulator.pushes()] == [
        (100, True),
        (100, True),
        (50, True),
    ]


@pytest.mark.parametrize(
    "answer",
    [
        (500, b'{"result": 0}'),
        (200, b'{"result": 1, "errmsg": "no"}'),
        (200, b"OK"),
        (200, b"[0]"),
        (302, b""),
        (0, b""),
    ],
)
def test_receipts_are_pushed_twice_more(
    simulator: Simulator, receiver: Receiver, answer: tuple[int, bytes]
) -> None:
    """What is not HTTP 200 with a result of 0 is a failure; after three attempts no more comes."""
    receiver.answers.extend([answer] * 5)
    simulator.enqueue(APP, receipts(2), feed=RECEIPTS)
    simulator.wait_for_pushes()
    first = receiver.received[0]
    assert receiver.received == [first] * 3
    assert [(push.attempt, push.accepted) for push in simulator.pushes()] == [(n, False) for n in (1, 2, 3)]
    assert [(push.status, push.answer) for push in simulator.pushes()] == [answer] * 3
    assert all(bool(push.error) == (answer[0] == 0) for push in simulator.pushes())
    stats = simulator.stats()
    assert (stats.pushes, stats.pushed, stats.given_up, stats.to_push) == (3, 0, 2, 0)


def test_retry_that_succeeds_is_the_last(simulator: Simulator, receiver: Receiver) -> None:
    """An accepted push is not sent again."""
    receiver.answers.extend([(503, b"full")])
    simulator.enqueue(APP, receipts(2), feed=RECEIPTS)
    simulator.wait_for_pushes()
    assert [push.status for push in simulator.pushes()] == [503, 200]
    assert (simulator.stats().pushed, simulator.stats().given_up) == (2, 0)


@pytest.mark.parametrize("attempts", [1, 4])
def test_replies_may_be_pushed_again_or_not(simulator: Simulator, receiver: Receiver, attempts: int) -> None:
    """How often a reply is pushed is not documented, so it is a setting."""
    simulator.configure(reply_push_attempts=attempts)
    receiver.answers.extend([(500, b"")] * 9)
    simulator.enqueue(APP, replies(1))
    simulator.wait_for_pushes()
    assert len(receiver.received) == attempts


def test_receiver_that_is_away_is_a_failure() -> None:
    """A refused connection is logged with its error, and the record still waits in the queue."""
    with Receiver() as gone:
        url = f"{gone.url}/replies"
    with Simulator([APP], push_retry_seconds=0) as simulator:
        simulator.push_to(REPLIES, url)
        simulator.enqueue(APP, replies(1))
        simulator.wait_for_pushes()
        (push,) = simulator.pushes()
        assert "ConnectionRefusedError" in push.error
        assert (push.status, push.accepted, push.url) == (0, False, url)
        assert queued(simulator, REPLIES) == 1


def test_both_ways_get_everything(simulator: Simulator, receiver: Receiver) -> None:
    """By default a record goes to the queue and to the callback."""
    simulator.enqueue(APP, replies(20))
    simulator.enqueue(OTHER_APP, replies(20, start=20))
    simulator.wait_for_pushes()
    assert len(receiver.received) == queued(simulator, REPLIES) == 40


def test_either_way_gets_a_record_by_the_seed(simulator: Simulator, receiver: Receiver) -> None:
    """By a setting, each record goes to the queue or to the callback, as the seed draws."""
    drawn = []
    for _ in range(2):
        receiver.received.clear()
        simulator.configure(delivery="either", delivery_seed=5, rate_limit=0)
        simulator.enqueue(APP, replies(200))
        simulator.wait_for_pushes()
        pulled = [reply["ReplyContent"] for _ in range(3) for reply in Client(simulator).pull().records]
        pushed = [push.body["text"] for push in receiver.received]
        assert Counter(pulled + pushed) == Counter(reply["ReplyContent"] for reply in replies(200))
        assert 60 < len(pulled) < 140
        drawn.append((pulled, pushed))
    assert drawn[0] == drawn[1]


def test_split_keeps_pushed_feeds_from_the_queue(simulator: Simulator, receiver: Receiver) -> None:
    """By a setting, what has a callback is pushed alone, and the queue has what has none."""
    simulator.configure(delivery="split")
    simulator.enqueue(APP, replies(3))
    simulator.enqueue(APP, receipts(3), feed=RECEIPTS)
    simulator.enqueue(OTHER_APP, receipts(4), feed=RECEIPTS)
    simulator.wait_for_pushes()
    assert len(receiver.received) == 3 + 1
    assert (queued(simulator, REPLIES), queued(simulator, RECEIPTS)) == (0, 4)


def test_push_ends_when_the_url_goes(simulator: Simulator, receiver: Receiver) -> None:
    """Without a URL records wait in the queue again."""
    simulator.configure(delivery="split")
    simulator.push_to(REPLIES, None)
    simulator.enqueue(APP, replies(2))
    simulator.wait_for_pushes()
    assert (receiver.received, queued(simulator, REPLIES)) == ([], 2)


def test_odd_records_are_pushed_as_they_are(simulator: Simulator, receiver: Receiver) -> None:
    """What lacks fields is pushed without them, and what is no object stays as it is."""
    simulator.enqueue(APP, [{"ReplyContent": "T"}, "text", {}])
    simulator.enqueue(APP, [None, {"UserReceiveTime": None}, {"UserReceiveTime": 0}], feed=RECEIPTS)
    simulator.wait_for_pushes()
    simulator.enqueue(APP, [{"ReplyContent": "\ud83d"}])
    simulator.enqueue(APP, [{"UserReceiveTime": 10**18}, {"UserReceiveTime": 10**12}], feed=RECEIPTS)
    simulator.wait_for_pushes()
    bodies = [push.body for push in receiver.received]
    assert bodies[4:] == [{"text": "\ud83d"}, [{"user_receive_time": 10**18}, {"user_receive_time": 10**12}]]
    assert bodies[:3] == [{"text": "T"}, "text", {}]
    assert bodies[3] == [None, {"user_receive_time": None}, {"user_receive_time": "1970-01-01 08:00:00"}]


def test_impossible_callbacks_are_refused(simulator: Simulator) -> None:
    """As at Tencent, replies have one URL and receipts one an application; and it has to be a URL."""
    with pytest.raises(ValueError, match="for each app_id"):
        simulator.push_to(RECEIPTS, "http://127.0.0.1:1/")
    with pytest.raises(ValueError, match="one for the account"):
        simulator.push_to(REPLIES, "http://127.0.0.1:1/", app_id=APP)
    for url in ("127.0.0.1:8080", "ftp://127.0.0.1/", "http://", "http://127.0.0.1:99999/"):
        with pytest.raises(ValueError, match=r"callback URL|Port"):
            simulator.push_to(REPLIES, url)


def test_pushes_cross_processes(receiver: Receiver) -> None:
    """A simulator in a process of its own pushes as well, at several connections, and its log crosses."""
    with SimulatorProcess([APP], push_workers=4) as simulator:
        simulator.add_account(Account("AKIDother", "other-key", [OTHER_APP]))
        simulator.push_to(REPLIES, f"{receiver.url}/replies")
        simulator.enqueue(APP, replies(40))
        simulator.enqueue(OTHER_APP, replies(10, start=40))
        simulator.wait_for_pushes()
        pushed = [push.body["text"] for push in receiver.received]
        assert sorted(pushed) == sorted(str(reply["ReplyContent"]) for reply in replies(50))
        assert Counter(push.app_id for push in simulator.pushes()) == {APP: 40, OTHER_APP: 10}
        assert {push.answer for push in simulator.pushes(3, 9)} == {b'{"result": 0, "errmsg": "OK"}'}
