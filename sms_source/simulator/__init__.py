"""A local Tencent Cloud SMS API over real HTTP, for the demo, for tests and for load tests.

It answers ``PullSmsReplyStatus`` and ``PullSmsSendStatus`` (a destructive queue for each application id and
region) and ``PullSmsReplyStatusByPhoneNumber`` and ``PullSmsSendStatusByPhoneNumber`` (look-ups that consume
nothing), version 2021-01-11, and is as strict as their documentation: signatures, headers, parameters, rate
limits. It pushes to callback URLs, as Tencent does. It can fail on purpose in every way that a network and an
API can (`FaultKind`), and logs what it handed out (`LogEntry`), to be held against what arrived::

    with Simulator(["1400006666"]) as simulator:  # or SimulatorProcess([...])
        simulator.enqueue("1400006666", demo_replies(250, seed=1, now=int(time.time())))
        simulator.enqueue("1400006666", demo_receipts(250, seed=1, now=int(time.time())), feed="receipts")
        simulator.fail_next("reset", after=1)
        ...  # pull from simulator.url with simulator.secret_id and simulator.secret_key
        assert simulator.stats("replies").handed_out == 250

From a shell, ``python -m sms_source.simulator --demo-replies 500`` prints its URL and serves until stopped;
``--help`` names the commands that drive it from another terminal.

Those methods are requests to the same port, which anything on this machine can make: ``POST`` to
``/_simulator/<command>``, one of `Service.commands`, with a JSON object of its arguments. The answer is
JSON, or 400 and ``{"error": …}``; bytes travel as Latin-1 text. With the URL in the variable ``URL``::

    curl -d '{"app_id": "1400006666", "count": 500}' "$URL/_simulator/make_up"
    curl -d '{"app_id": "1400006666", "count": 9, "feed": "receipts"}' "$URL/_simulator/make_up"
    curl -d '{"app_id": "1400006666", "records": [{"ReplyContent": "TD"}]}' "$URL/_simulator/enqueue"
    curl -d '{"fault": "reset", "times": 3, "after": 1}' "$URL/_simulator/fail_next"
    curl -d '{"fault": "delay", "seconds": 9, "app_id": "1400006666"}' "$URL/_simulator/fail_next"
    curl -d '{"mix": [["truncate", 0.05], ["gzip", 0.1]], "seed": 1}' "$URL/_simulator/fail_randomly"
    curl -d '{}' "$URL/_simulator/clear_faults"
    curl -d '{"latency": 0.05, "delivery": "either"}' "$URL/_simulator/configure"
    curl -d '{"feed": "replies", "url": "http://127.0.0.1:9/replies"}' "$URL/_simulator/push_to"
    curl -d '{"feed": "replies", "url": null}' "$URL/_simulator/push_to"
    curl -d '{"start": 0, "stop": 10}' "$URL/_simulator/log"
    curl "$URL/_simulator/look_ups"
    curl "$URL/_simulator/pushes"
    curl "$URL/_simulator/stats"
"""

# Relative, as `SimulatorProcess` starts this package by itself.
from .actions import (
    LOOK_UP_RECEIPTS,
    LOOK_UP_REPLIES,
    PULL_RECEIPTS,
    PULL_REPLIES,
    RECEIPTS,
    REPLIES,
)
from .control import Control
from .demo import demo_receipts, demo_replies
from .faults import Fault, FaultKind
from .records import Account, HandedOut, LogEntry, Outcome, Push, Stats
from .service import DEFAULT_REGION
from .settings import Settings
from .simulator import (
    DEFAULT_APP_ID,
    DEFAULT_SECRET_ID,
    DEFAULT_SECRET_KEY,
    Simulator,
    SimulatorProcess,
)
from .story import STORY_APP_IDS, Story, demo_story

__all__ = [
    "DEFAULT_APP_ID",
    "DEFAULT_REGION",
    "DEFAULT_SECRET_ID",
    "DEFAULT_SECRET_KEY",
    "LOOK_UP_RECEIPTS",
    "LOOK_UP_REPLIES",
    "PULL_RECEIPTS",
    "PULL_REPLIES",
    "RECEIPTS",
    "REPLIES",
    "STORY_APP_IDS",
    "Account",
    "Control",
    "Fault",
    "FaultKind",
    "HandedOut",
    "LogEntry",
    "Outcome",
    "Push",
    "Settings",
    "Simulator",
    "SimulatorProcess",
    "Stats",
    "Story",
    "demo_receipts",
    "demo_replies",
    "demo_story",
]
