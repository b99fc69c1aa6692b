"""`tencent-sms demo`: the job against the bundled simulator, with what three campaigns brought."""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sms_source.cli import load_command
from sms_source.cli.output import Output
from sms_source.loading.loader import resolve_options

PIPELINE = "sms_replies_demo"
PAGE = "sms_replies_demo.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the job to a parser."""
    load_command.add_arguments(parser)


def run(args: argparse.Namespace, output: Output) -> None:
    """Load what the simulator hands out, and make the page of it."""
    name = args.pipeline or PIPELINE
    with demo_options() as given:
        load_command.load(args, output, resolve_options(given, check_configured=False), name)
    if args.log_format == "text" and args.destination == "duckdb":
        from sms_source.cli.report_command import make_page

        print(make_page(args.destination, args.dataset, name, PAGE))


@contextmanager
def demo_options() -> Iterator[dict[str, Any]]:
    """Yield the options that reach the simulator, which is a process of its own."""
    from sms_source.simulator import STORY_APP_IDS, SimulatorProcess, demo_story

    with SimulatorProcess(app_ids=STORY_APP_IDS) as simulator:
        demo_story(int(time.time())).enqueue(simulator)
        yield {
            "sms_sdk_app_ids": list(STORY_APP_IDS),
            "credentials": {"secret_id": simulator.secret_id, "secret_key": simulator.secret_key},
            "api_endpoint": simulator.url,
            "journal_url": "sms_journal_demo",
            "pull_feeds": ["replies", "receipts"],
        }
