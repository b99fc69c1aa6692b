"""The simulator's queues, as clients meet them: over real HTTP, with the official SDK."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from sms_source.simulator import PULL_RECEIPTS, PULL_REPLIES, RECEIPTS, REPLIES, Account, Simulator
from tests.simulator_client import APP, Client, receipts, replies, sdk_client


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Run a simulator with one application."""
    with Simulator([APP]) as running:
        yield running


@pytest.fixture
def client(simulator: Simulator) -> Client:
    """Return a client of that simulator."""
    return Client(simulator)


@pytest.fixture(autouse=True)
def ignore_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the official client from a proxy in the environment, which it would ask even for loopback."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


class TestQueue:
    """The queue is destructive, first in, first out, one for each application id and region."""

    def test_official_sdk_pulls_replies_unchanged(self, simulator: Simulator) -> None:
        """The official client gets the records that were enqueued, in order, with a RequestId."""
        simulator.enqueue(APP, replies(3))
        response = sdk_client(simulator).call_json(PULL_REPLIES, {"SmsSdkAppId": APP, "Limit": 2})["Response"]
        assert response["PullSmsReplyStatusSet"] == replies(3)[:2]
        assert uuid.UUID(response["RequestId"]).version == 4

    def test_reply_is_handed_out_once(self, simulator: Simulator, client: Client) -> None:
        """A second pull gets the next replies, and an empty queue gives an empty set."""
        simulator.enqueue(APP, replies(5))
        sets = [client.pull(3).response["PullSmsReplyStatusSet"] for _ in range(3)]
        assert sets == [replies(5)[:3], replies(5)[3:], []]

    def test_regions_are_isolated(self, simulator: Simulator, client: Client) -> None:
        """A reply enqueued in one region does not show in another."""
        simulator.enqueue(APP, replies(1), region="ap-beijing")
        assert client.pull().response["PullSmsReplyStatusSet"] == []
        answer = client.pull(headers={"X-TC-Region": "ap-beijing"})
        assert answer.response["PullSmsReplyStatusSet"] == replies(1)

    def test_page_size_makes_short_pages_of_a_full_queue(self, simulator: Simulator, client: Client) -> None:
        """An answer can hold fewer replies than its Limit although more wait."""
        simulator.enqueue(APP, replies(5))
        simulator.configure(page_size=2)
        sizes = [len(client.pull().response["PullSmsReplyStatusSet"]) for _ in range(4)]
        assert sizes == [2, 2, 1, 0]

    @pytest.mark.parametrize(("shape", "expected"), [("list", []), ("null", None), ("absent", "absent")])
    def test_empty_set_has_the_configured_shape(
        self, simulator: Simulator, client: Client, shape: str, expected: Any
    ) -> None:
        """No replies look like [], null or nothing."""
        simulator.configure(empty_set=shape)
        assert client.pull().response.get("PullSmsReplyStatusSet", "absent") == expected

    def test_odd_records_go_out_as_they_are(self, simulator: Simulator, client: Client) -> None:
        """Bytes are sent verbatim, and any JSON value is a record."""
        odd = [b'{"ReplyContent": "\\ud83d"}', None, "text", {"ReplyContent": "\ud83d", "Huge": 10**30}]
        simulator.enqueue(APP, odd)
        body = client.pull().body
        assert b'[{"ReplyContent": "\\ud83d"},null,"text",{"ReplyContent":"\\ud83d","Huge":1' in body

    @pytest.mark.parametrize("action", [PULL_REPLIES, PULL_RECEIPTS])
    def test_each_application_has_a_queue(self, simulator: Simulator, client: Client, action: str) -> None:
        """A record of one application does not show in another's queue."""
        simulator.add_account(Account(simulator.secret_id, simulator.secret_key, ["1400007777"]))
        feed = RECEIPTS if action == PULL_RECEIPTS else REPLIES
        simulator.enqueue("1400007777", [{"SerialNo": "1"}], feed=feed)
        assert [client.pull(app_id=app, action=action).records for app in (APP, "1400007777")] == [
            [],
            [{"SerialNo": "1"}],
        ]


class TestReceipts:
    """Receipts have queues of their own, which behave as those of replies do."""

    def test_official_sdk_pulls_receipts_unchanged(self, simulator: Simulator) -> None:
        """The official client gets the records that were enqueued, in order."""
        simulator.enqueue(APP, receipts(3), feed=RECEIPTS)
        answer = sdk_client(simulator).call_json(PULL_RECEIPTS, {"SmsSdkAppId": APP, "Limit": 2})["Response"]
        assert answer["PullSmsSendStatusSet"] == receipts(3)[:2]

    def test_feeds_do_not_mix(self, simulator: Simulator, client: Client) -> None:
        """Pulling replies leaves receipts, and the reverse; log and counters tell them apart."""
        simulator.enqueue(APP, replies(2))
        simulator.enqueue(APP, receipts(3), feed=RECEIPTS, region="ap-beijing")
        assert client.pull(action=PULL_RECEIPTS).records == []
        assert client.pull().records == replies(2)
        beijing = client.pull(action=PULL_RECEIPTS, headers={"X-TC-Region": "ap-beijing"})
        assert beijing.records == receipts(3)
        assert [(pull.feed, len(pull.raw)) for pull in simulator.log()] == [
            (RECEIPTS, 0),
            (REPLIES, 2),
            (RECEIPTS, 3),
        ]
        assert [(one.feed, one.position) for one in simulator.handed_out(2)] == [
            (RECEIPTS, position) for position in range(3)
        ]
        stats = {feed: simulator.stats(feed) for feed in (REPLIES, RECEIPTS, None)}
        assert [(one.enqueued, one.handed_out, one.pulls) for one in stats.values()] == [
            (2, 2, 1),
            (3, 3, 2),
            (5, 5, 3),
        ]
        assert stats[RECEIPTS].requests == {PULL_RECEIPTS: 2}
        assert stats[None].requests == {PULL_RECEIPTS: 2, PULL_REPLIES: 1}

    def test_unknown_feed_is_refused(self, simulator: Simulator) -> None:
        """A feed that does not exist is an error that names those that do."""
        with pytest.raises(ValueError, match="'replies' or 'receipts'"):
            simulator.enqueue(APP, replies(1), feed="orders")
        with pytest.raises(ValueError, match="'replies' or 'receipts'"):
            simulator.stats("orders")
