"""What a run did, as a monitor reads it."""

import json
import time

from pipelines.load_replies import configured_options, load_replies
from sms_source.configuration import SECTIONS, SmsSourceConfiguration
from sms_source.loading.summary import Summary
from sms_source.simulator import SimulatorProcess
from tests.conftest import APP, Warehouse, a_reply


def run(warehouse: Warehouse) -> Summary:
    """One run of the main job's function, as a scheduler's task calls it."""
    from dlt.common.configuration import resolve_configuration

    with configured_options() as given:
        options = resolve_configuration(SmsSourceConfiguration(), sections=SECTIONS, explicit_value=given)
    return load_replies(warehouse.pipeline(), options)


def test_the_counts_are_json(configured: SimulatorProcess, warehouse: Warehouse) -> None:
    """Whoever watches needs numbers and one form of time, not a sentence."""
    newest = int(time.time()) - 60
    configured.enqueue(APP, [a_reply(), a_reply(ReplyTime=newest), {"bad": 1}])
    configured.fail_next("truncate", after=1)
    summary = run(warehouse).as_dict()
    assert json.loads(json.dumps(summary)) == summary
    assert 60 <= summary.pop("newest_reply_age_seconds") < 300
    assert summary.pop("seconds") > 0
    assert summary.pop("requests_per_second") > 0
    assert summary == {
        "requests": 3,
        "pulls": 2,
        "replies": 2,
        "rejected": 1,
        "in_doubt": 1,
        "at_risk": 100,
        "rate_limited": 0,
        "replies_by_application": {APP: 2},
        "newest_reply": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(newest)),
        "pipeline": "sms_replies",
        "destination": "duckdb",
        "dataset": "sms",
    }


def test_a_quiet_run_tells_the_newest_reply_of_all(
    configured: SimulatorProcess, warehouse: Warehouse
) -> None:
    """Its age is what shows that replies have stopped coming, so it must not vanish when they do."""
    assert run(warehouse).as_dict()["newest_reply"] is None
    configured.enqueue(APP, [a_reply(ReplyTime=1_620_734_188)])
    run(warehouse)
    summary = run(warehouse).as_dict()
    assert (summary["pulls"], summary["newest_reply"]) == (0, "2021-05-11T11:56:28Z")
