"""The simulator's queues and look-ups, as clients meet them: over real HTTP, with the official SDK."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from sms_source.simulator import (
    LOOK_UP_REPLIES,
    PULL_REPLIES,
    Simulator,
)
from tests.simulator_client import APP, Client, replies, sdk_client


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

    def test_search_by_phone_number_consumes_nothing(self, simulator: Simulator, client: Client) -> None:
        """The sibling action finds replies of the number and the window, pulled or not."""
        now = int(time.time())
        mine = [{**replies(1)[0], "PhoneNumber": "+8612000000001", "ReplyTime": now - age} for age in (9, 99)]
        simulator.enqueue(APP, [*mine, *replies(3), b"not JSON +8612000000001"])
        parameters = {"BeginTime": now - 50, "Offset": 0, "Limit": 100, "SmsSdkAppId": APP}
        parameters["PhoneNumber"] = "+8612000000001"
        found = [client.call(parameters, LOOK_UP_REPLIES).response["PullSmsReplyStatusSet"] for _ in range(2)]
        assert found == [mine[:1]] * 2
        assert simulator.stats().queued == {f"{APP}/ap-guangzhou": 6}
        parameters["BeginTime"] = now - 500
        assert client.call(parameters, LOOK_UP_REPLIES).response["PullSmsReplyStatusSet"] == mine
