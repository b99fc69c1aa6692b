"""The simulator's log against what its clients got: the truth that other tests stand on."""

from __future__ import annotations

import gzip
import json
import threading
from collections import Counter
from typing import Any

from sms_source.simulator import PULL_RECEIPTS, PULL_REPLIES, RECEIPTS, REPLIES, Simulator
from tests.simulator_client import APP, BROKEN, Client, receipts, replies


def test_log_equals_what_was_handed_out() -> None:
    """Under 8 clients of both feeds and random faults, the log's delivered records are the clients'."""
    with Simulator([APP], rate_limit=0, latency=0.001) as simulator:
        drain_and_compare(simulator)


def drain_and_compare(simulator: Simulator) -> None:
    """Empty both queues, and hold what came against the log."""
    made: dict[str, list[Any]] = {PULL_REPLIES: replies(1500), PULL_RECEIPTS: receipts(1500)}
    simulator.enqueue(APP, made[PULL_REPLIES])
    simulator.enqueue(APP, made[PULL_RECEIPTS], feed=RECEIPTS)
    kinds = ("reset", "close", "truncate", "http_status", "gzip")
    simulator.fail_randomly(dict.fromkeys(kinds, 0.04), seed=3)
    got: list[tuple[str, int, Any]] = []

    def drain(action: str) -> None:
        client = Client(simulator)
        while True:
            try:
                answer = client.pull(7, action=action)
            except BROKEN:
                client = Client(simulator)
                continue
            if answer.status == 200:
                zipped = answer.headers.get("content-encoding") == "gzip"
                whole = answer._replace(body=gzip.decompress(answer.body)) if zipped else answer
                request_id = whole.response["RequestId"]
                got.extend((request_id, *entry) for entry in enumerate(whole.records))
                if not whole.records:
                    return

    threads = [threading.Thread(target=drain, args=[action]) for action in made for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    handed_out = list(simulator.handed_out())
    told = [(e.request_id, e.position, json.loads(e.reply)) for e in handed_out if e.delivered]
    assert sorted(told, key=str) == sorted(got, key=str)
    stats = simulator.stats()
    assert (stats.enqueued, stats.handed_out, stats.lost) == (3000, 3000, 3000 - len(got))
    assert stats.lost == sum(simulator.stats(feed).lost for feed in (REPLIES, RECEIPTS)) > 0
    # The log is in the order of the pops, so together its records are the queue.
    for feed, records in ((REPLIES, made[PULL_REPLIES]), (RECEIPTS, made[PULL_RECEIPTS])):
        assert [json.loads(entry.reply) for entry in handed_out if entry.feed == feed] == records
    assert [pull.number for pull in simulator.log()] == list(range(1, stats.pulls + 1))
    assert stats.outcomes == Counter(pull.outcome.value for pull in simulator.log())
