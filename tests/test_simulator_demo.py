"""Made-up replies and receipts, and the demo's story."""

from __future__ import annotations

import json

from sms_source.simulator import (
    demo_replies,
)
from tests.simulator_client import NOW


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
