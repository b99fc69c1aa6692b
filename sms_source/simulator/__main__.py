"""The simulator from a shell: serves, or drives one that serves."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from . import (
    DEFAULT_APP_ID,
    DEFAULT_SECRET_ID,
    DEFAULT_SECRET_KEY,
    RECEIPTS,
    REPLIES,
    STORY_APP_IDS,
    Simulator,
    demo_receipts,
    demo_replies,
    demo_story,
)
from .commands import add_commands

_EXAMPLES = """\
examples:
  %(prog)s --demo-replies 500 --port 8765         serve, until Ctrl-C
  %(prog)s serve --story                          with two weeks of three campaigns
then, in another terminal:
  %(prog)s enqueue http://127.0.0.1:8765 --made-up 100
  %(prog)s enqueue http://127.0.0.1:8765 --feed receipts --file receipts.jsonl
  %(prog)s fail http://127.0.0.1:8765 reset --times 3
  %(prog)s configure http://127.0.0.1:8765 latency=0.05 rate_limit=0
  %(prog)s stats http://127.0.0.1:8765

COMMAND --help tells more. Without a command it serves.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM, or run a command; return the exit status.

    Wrong arguments exit with 2, and so does what the simulator refuses; 1 is that it does not answer.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or (given[0].startswith("-") and given[0] not in ("-h", "--help")):
        given.insert(0, "serve")
    whole = parser()
    options = whole.parse_args(given)
    try:
        return int(options.run(options))
    except ValueError as error:
        whole.error(str(error))
    except OSError as error:
        print(f"{whole.prog}: {error}", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    whole = argparse.ArgumentParser(
        prog="python -m sms_source.simulator",
        description="A local Tencent Cloud SMS API: queues of replies and receipts, look-ups, callbacks.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = whole.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_serve(commands)
    add_commands(commands)
    return whole


def _add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    serve = commands.add_parser(
        "serve",
        help="serve the API, and print its URL",
        description="Serve the API until Ctrl-C or SIGTERM, and print its URL.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = serve.add_argument
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=int, default=0, help="port to listen on; 0 is any free one")
    add("--allow-remote", action="store_true", help="allow an address other than loopback")
    add("--url-file", type=Path, metavar="PATH", help="file to write the URL to, once it serves")
    add("--app-id", action="append", metavar="ID", help="SMS application id; can be repeated")
    add("--demo-replies", type=int, default=0, metavar="N", help="made-up replies to hand out")
    add("--demo-receipts", type=int, default=0, metavar="N", help="made-up receipts to hand out")
    add("--story", action="store_true", help="hand out the demo's two weeks of three campaigns")
    add("--seed", type=int, default=1, help="what the made-up records depend on")
    add("--rate-limit", type=int, default=100, metavar="N", help="pulls a second; 0 is no limit")
    add("--latency", type=float, default=0.0, metavar="SECONDS", help="of an answer")
    add("--secret-id", default=DEFAULT_SECRET_ID, help="of the account")
    add("--secret-key", default=DEFAULT_SECRET_KEY, help="of the account")
    add("--exit-with-parent", action="store_true", help="exit when standard input ends")
    serve.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> int:
    app_ids = options.app_id or [DEFAULT_APP_ID]
    if options.story:
        app_ids += [app_id for app_id in STORY_APP_IDS if app_id not in app_ids]
    names = ("secret_id", "secret_key", "host", "port", "allow_remote", "rate_limit", "latency")
    simulator = Simulator(app_ids, **{name: getattr(options, name) for name in names})
    stop = threading.Event()

    def stop_at_end_of_input() -> None:
        sys.stdin.read()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if options.exit_with_parent:
        threading.Thread(target=stop_at_end_of_input, daemon=True).start()
    with simulator:
        _fill(simulator, app_ids, options)
        if options.url_file:
            partial = options.url_file.with_name(f"{options.url_file.name}.{os.getpid()}")
            partial.write_text(simulator.url + "\n")
            partial.replace(options.url_file)
        print(simulator.url, flush=True)
        stop.wait()
    return 0


def _fill(simulator: Simulator, app_ids: Sequence[str], options: argparse.Namespace) -> None:
    """Enqueue what was asked for: the made-up records dealt out to the applications, and the story."""
    now = int(time.time())
    counts = ((REPLIES, demo_replies, options.demo_replies), (RECEIPTS, demo_receipts, options.demo_receipts))
    for feed, make, count in counts:
        made = make(count, seed=options.seed, now=now)
        for index, app_id in enumerate(app_ids):
            simulator.enqueue(app_id, made[index :: len(app_ids)], feed=feed)
    if options.story:
        demo_story(now, options.seed).enqueue(simulator)


if __name__ == "__main__":
    sys.exit(main())
