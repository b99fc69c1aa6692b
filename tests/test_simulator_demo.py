"""Made-up replies and receipts, and the demo's story."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from statistics import median
from typing import Any

import pytest

from sms_source.simulator import (
    PULL_RECEIPTS,
    STORY_APP_IDS,
    Simulator,
    Story,
    demo_receipts,
    demo_replies,
    demo_story,
)
from tests.simulator_client import NOW, Client


class TestDemoReplies:
    """Made-up replies are like real ones, and nobody's."""

    def test_they_depend_on_seed_and_time_alone(self) -> None:
        """The same arguments give the same replies, as many as asked for."""
        assert demo_replies(300, seed=1, now=NOW) == demo_replies(300, seed=1, now=NOW)
        assert demo_replies(300, seed=1, now=NOW) != demo_replies(300, seed=2, now=NOW)
        assert demo_replies(0, seed=1, now=NOW) == []

    def test_they_follow_the_specification(self) -> None:
        """Fields, types, numbers and times are as documented, and some replies are equal."""
        made = demo_replies(500, seed=1, now=NOW)
        for reply in made:
            assert reply["PhoneNumber"] == f"+{reply['CountryCode']}{reply['SubscriberNumber']}"
            assert str(reply["PhoneNumber"]).startswith(("+8612", "+120255501", "+447700900"))
        times = [int(reply["ReplyTime"]) for reply in made]
        assert times == sorted(times)
        assert NOW - 6 * 86400 < min(times) <= max(times) <= NOW
        assert len({json.dumps(reply) for reply in made}) < 500
        assert len({reply["ExtendCode"] for reply in made}) == 5
        texts = {str(reply["ReplyContent"]) for reply in made}
        assert {"T", "TD", "退订", "STOP", "1", "5", "Y", "N", "好的", "OK"} <= texts


class TestDemoReceipts:
    """Made-up receipts are like real ones, and nobody's."""

    def test_they_depend_on_seed_and_time_alone(self) -> None:
        """The same arguments give the same receipts, as many as asked for."""
        assert demo_receipts(300, seed=1, now=NOW) == demo_receipts(300, seed=1, now=NOW)
        assert demo_receipts(300, seed=1, now=NOW) != demo_receipts(300, seed=2, now=NOW)
        assert demo_receipts(0, seed=1, now=NOW) == []

    def test_they_follow_the_specification(self) -> None:
        """Fields, types, numbers and times are as documented; failures have a carrier's code."""
        made = demo_receipts(500, seed=1, now=NOW)
        for receipt in made:
            assert receipt["PhoneNumber"] == f"+{receipt['CountryCode']}{receipt['SubscriberNumber']}"
            assert str(receipt["PhoneNumber"]).startswith(("+8612", "+120255501", "+447700900"))
            assert (receipt["Description"] == "DELIVRD") == (receipt["ReportStatus"] == "SUCCESS")
        times = [int(receipt["UserReceiveTime"] or 0) for receipt in made]
        assert times == sorted(times)
        assert NOW - 6 * 86400 <= min(times) <= max(times) <= NOW
        assert len({receipt["SerialNo"] for receipt in made}) == 500
        assert {"12", "012", "MX:0012"} <= {receipt["Description"] for receipt in made}
        assert {None, ""} < {receipt["SessionContext"] for receipt in made}


@pytest.fixture(scope="module")
def story() -> Story:
    """Provide the story as one demo tells it."""
    return demo_story(NOW, seed=1)


def all_of(records: Mapping[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the records of both applications."""
    return [record for app_id in STORY_APP_IDS for record in records[app_id]]


class TestStory:
    """The demo's story makes sense, whoever looks at it."""

    def test_it_depends_on_seed_and_time_alone(self, story: Story) -> None:
        """The same arguments tell the same story."""
        assert demo_story(NOW, seed=1) == story
        assert demo_story(NOW, seed=2) != story

    @pytest.mark.parametrize("hour", [0, 7, 15])
    def test_it_is_as_long_at_any_time_of_day(self, hour: int) -> None:
        """About 3,000 replies and 12,000 receipts of two weeks, none of them after now."""
        now = NOW + hour * 3600
        told = demo_story(now, seed=hour)
        assert set(told.replies) == set(told.receipts) == set(STORY_APP_IDS)
        assert 2700 < len(all_of(told.replies)) < 3300
        assert 11_000 < len(all_of(told.receipts)) < 13_000
        times = [reply["ReplyTime"] for reply in all_of(told.replies)]
        times += [receipt["UserReceiveTime"] for receipt in all_of(told.receipts)]
        assert now - 15 * 86400 < min(times) < now - 11 * 86400
        assert now - 86400 < max(times) <= now

    def test_numbers_are_nobodys(self, story: Story) -> None:
        """They are of ranges without subscribers, in all three countries, and whole in E.164."""
        patterns = {"86": r"\+86120\d{8}", "1": r"\+1\d{3}55501\d\d", "65": r"\+654\d{7}"}
        for record in (*all_of(story.replies), *all_of(story.receipts)):
            assert re.fullmatch(patterns[record["CountryCode"]], record["PhoneNumber"])
            assert record["PhoneNumber"] == f"+{record['CountryCode']}{record['SubscriberNumber']}"
        for records in (story.replies, story.receipts):
            assert {record["CountryCode"] for record in all_of(records)} == set(patterns)

    def test_replies_follow_a_receipt(self, story: Story) -> None:
        """Whoever replies was reached by that application before; most reply within an hour, some in days."""
        received: dict[tuple[str, str], list[int]] = defaultdict(list)
        for app_id, receipts in story.receipts.items():
            for receipt in receipts:
                if receipt["ReportStatus"] == "SUCCESS":
                    received[app_id, str(receipt["PhoneNumber"])].append(int(receipt["UserReceiveTime"]))
        delays = []
        for app_id, replies in story.replies.items():
            for reply in replies:
                time = int(reply["ReplyTime"])
                before = [t for t in received[app_id, str(reply["PhoneNumber"])] if t <= time]
                delays.append(time - max(before))
        assert median(delays) < 3600
        assert sum(delay > 86400 for delay in delays) > 5

    def test_some_replies_arrive_late(self, story: Story) -> None:
        """The queue's order is that of arrival: some replies come over an hour after newer ones."""
        late = 0
        for replies in story.replies.values():
            newest = 0
            for reply in replies:
                time = int(reply["ReplyTime"])
                late += time < newest - 3600
                newest = max(newest, time)
        assert 30 < late < 300

    def test_campaigns_are_three(self, story: Story) -> None:
        """Each has its application, sign and extension code; receipts tell it by their context."""
        assert {(r["SignName"], r["ExtendCode"]) for r in story.replies["1400006666"]} == {
            ("湖畔书店", "201"),
            ("Northwind Parcel", "102"),
        }
        assert {(r["SignName"], r["ExtendCode"]) for r in story.replies["1400007777"]} == {
            ("Harbour Clinic", "101")
        }
        contexts = {app_id: {r["SessionContext"] for r in story.receipts[app_id]} for app_id in STORY_APP_IDS}
        assert contexts == {
            "1400006666": {"autumn-books", "parcel-survey"},
            "1400007777": {"appointment-reminder"},
        }

    def test_people_opt_out_in_both_languages(self, story: Story) -> None:
        """With keywords and in their own words; scores and confirmations are the rest."""
        by_country: dict[str, set[str]] = defaultdict(set)
        for reply in all_of(story.replies):
            by_country[reply["CountryCode"]].add(reply["ReplyContent"])
        assert {"T", "TD", "退订", "T退订", "R", "别再发了,退订", "别再发了"} <= by_country["86"]
        assert {"5", "5分", "4", "Y", "是", "确认", "1", "改天"} <= by_country["86"]
        abroad = by_country["1"] | by_country["65"]
        assert {"STOP", "stop please", "Please remove me from your list", "Y", "5"} <= abroad

    def test_who_opted_out_of_marketing_is_not_reached_again(self, story: Story) -> None:
        """Tencent lists mainland numbers: the second wave fails for them, with MX:0012, or is not sent."""
        listed = {
            reply["PhoneNumber"]: int(reply["ReplyTime"])
            for reply in reversed(story.replies["1400006666"])
            if reply["SignName"] == "湖畔书店" and reply["ReplyContent"] in ("R", "T", "TD", "退订")
        }
        second_wave = [
            receipt["Description"]
            for receipt in story.receipts["1400006666"]
            if receipt["SessionContext"] == "autumn-books"
            and int(receipt["UserReceiveTime"]) > listed.get(receipt["PhoneNumber"], NOW) + 2 * 86400
        ]
        assert set(second_wave) == {"MX:0012"}
        assert len(second_wave) > 10

    def test_failures_have_carriers_codes(self, story: Story) -> None:
        """One in twenty fails, for reasons that the public list knows; serial numbers are unique."""
        receipts = all_of(story.receipts)
        failed = [receipt for receipt in receipts if receipt["ReportStatus"] == "FAIL"]
        assert 0.04 < len(failed) / len(receipts) < 0.08
        codes = {receipt["Description"] for receipt in failed}
        assert {"MI:0024", "MK:0012", "12", "TUIDING", "UNDELIV_601", "MX:0012", "EXPIRED"} <= codes
        assert {r["Description"] for r in receipts if r["ReportStatus"] == "SUCCESS"} == {"DELIVRD"}
        assert len({receipt["SerialNo"] for receipt in receipts}) == len(receipts)

    def test_it_can_be_handed_out(self, story: Story) -> None:
        """A simulator takes it whole, in its order."""
        with Simulator(STORY_APP_IDS) as simulator:
            story.enqueue(simulator)
            client = Client(simulator)
            for app_id in STORY_APP_IDS:
                assert client.pull(app_id=app_id).records == story.replies[app_id][:100]
                assert (
                    client.pull(app_id=app_id, action=PULL_RECEIPTS).records == story.receipts[app_id][:100]
                )
            assert simulator.stats().enqueued == len(all_of(story.replies)) + len(all_of(story.receipts))
