"""The demo: the bundled simulator in a process of its own, with records waiting."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sms_source.simulator import SimulatorProcess, demo_replies

PIPELINE = "sms_replies_demo"
APP_IDS = ("1400006666", "1400007777")
REPLIES = 1_500


@contextmanager
def demo_options() -> Iterator[dict[str, Any]]:
    """Yield the options that reach the simulator."""
    with SimulatorProcess(app_ids=APP_IDS) as simulator:
        for number, app_id in enumerate(APP_IDS):
            simulator.enqueue(app_id, demo_replies(REPLIES, seed=number, now=int(time.time())))
        yield {
            "sms_sdk_app_ids": list(APP_IDS),
            "credentials": {"secret_id": simulator.secret_id, "secret_key": simulator.secret_key},
            "api_endpoint": simulator.url,
            "journal_url": "sms_journal_demo",
        }
