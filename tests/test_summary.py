"""What a run did, as a monitor reads it."""

import json
import time

from sms_source import load
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, a_reply


def test_the_counts_are_json(configured: SimulatorProcess) -> None:
    """Whoever watches needs numbers and one form of time, not a sentence."""
    newest = int(time.time()) - 60
    configured.enqueue(APP, [a_reply(), a_reply(ReplyTime=newest), {"bad": 1}])
    configured.fail_next("truncate", after=1)
    summary = load().as_dict()
    assert json.loads(json.dumps(summary)) == summary
    assert 60 <= summary.pop("newest_reply_age_seconds") < 300
    assert summary.pop("seconds") > 0
    assert summary.pop("requests_per_second") > 0
    assert summary == {
        "requests": 3,
        "pulls": 2,
        "replies": 2,
        "receipts": 0,
        "pushed": 0,
        "rejected": 1,
        "in_doubt": 1,
        "at_risk": 100,
        "rate_limited": 0,
        "replies_by_application": {APP: 2},
        "newest_reply": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(newest)),
        "missing_packages": 0,
        "new_rows": None,
        "pipeline": "sms_replies",
        "destination": "duckdb",
        "dataset": "sms",
    }


def test_a_quiet_run_tells_the_newest_reply_of_all(
    configured: SimulatorProcess,
) -> None:
    """Its age is what shows that replies have stopped coming, so it must not vanish when they do."""
    assert load().as_dict()["newest_reply"] is None
    configured.enqueue(APP, [a_reply(ReplyTime=1_620_734_188)])
    load()
    summary = load().as_dict()
    assert (summary["pulls"], summary["newest_reply"]) == (0, "2021-05-11T11:56:28Z")
