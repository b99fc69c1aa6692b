"""The simulator from a shell."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from . import DEFAULT_APP_ID, DEFAULT_SECRET_ID, DEFAULT_SECRET_KEY, Simulator, demo_replies


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM, and return the exit status; wrong arguments exit with 2."""
    parser = argparse.ArgumentParser(
        prog="python -m sms_source.simulator",
        description="Serve a local Tencent Cloud SMS API (PullSmsReplyStatus) and print its URL.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=int, default=0, help="port to listen on; 0 is any free one")
    add("--allow-remote", action="store_true", help="allow an address other than loopback")
    add("--url-file", type=Path, metavar="PATH", help="file to write the URL to, once it serves")
    add("--app-id", action="append", metavar="ID", help="SMS application id; can be repeated")
    add("--demo-replies", type=int, default=0, metavar="N", help="made-up replies to hand out")
    add("--seed", type=int, default=1, help="what the made-up replies depend on")
    add("--rate-limit", type=int, default=100, metavar="N", help="pulls a second; 0 is no limit")
    add("--latency", type=float, default=0.0, metavar="SECONDS", help="of an answer")
    add("--secret-id", default=DEFAULT_SECRET_ID, help="of the account")
    add("--secret-key", default=DEFAULT_SECRET_KEY, help="of the account")
    add("--exit-with-parent", action="store_true", help="exit when standard input ends")
    options = parser.parse_args(arguments)
    app_ids = options.app_id or [DEFAULT_APP_ID]
    names = ("secret_id", "secret_key", "host", "port", "allow_remote", "rate_limit", "latency")
    try:
        simulator = Simulator(app_ids, **{name: getattr(options, name) for name in names})
    except ValueError as error:
        parser.error(str(error))
    stop = threading.Event()

    def stop_at_end_of_input() -> None:
        sys.stdin.read()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if options.exit_with_parent:
        threading.Thread(target=stop_at_end_of_input, daemon=True).start()
    replies = demo_replies(options.demo_replies, seed=options.seed, now=int(time.time()))
    with simulator:
        for index, app_id in enumerate(app_ids):
            simulator.enqueue(app_id, replies[index :: len(app_ids)])
        if options.url_file:
            partial = options.url_file.with_name(f"{options.url_file.name}.{os.getpid()}")
            partial.write_text(simulator.url + "\n")
            partial.replace(options.url_file)
        print(simulator.url, flush=True)
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
