"""The demo: the bundled simulator in a process of its own, with what three campaigns of two weeks brought."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sms_source.simulator import STORY_APP_IDS, SimulatorProcess, demo_story

PIPELINE = "sms_replies_demo"


@contextmanager
def demo_options() -> Iterator[dict[str, Any]]:
    """Yield the options that reach the simulator."""
    with SimulatorProcess(app_ids=STORY_APP_IDS) as simulator:
        demo_story(int(time.time())).enqueue(simulator)
        yield {
            "sms_sdk_app_ids": list(STORY_APP_IDS),
            "credentials": {"secret_id": simulator.secret_id, "secret_key": simulator.secret_key},
            "api_endpoint": simulator.url,
            "journal_url": "sms_journal_demo",
            "pull_feeds": ["replies", "receipts"],
        }
