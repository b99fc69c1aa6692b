"""`tencent-sms load`: the job, once, or again and again."""

import argparse
import sys
from typing import Any

from sms_source.cli.arguments import add_places, address, seconds
from sms_source.cli.follow import follow
from sms_source.cli.output import Output
from sms_source.cli.signals import stop_on_signals
from sms_source.configuration import SmsSourceConfiguration
from sms_source.loading.loader import PIPELINE, Loader, resolve_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the job to a parser."""
    add_places(parser)
    parser.add_argument(
        "--follow", type=seconds, metavar="SECONDS", help="keep draining, at this interval, until a signal"
    )
    parser.add_argument(
        "--receive",
        type=address,
        metavar="HOST:PORT",
        help="with --follow: receive callbacks there, too (docs/receiving.md)",
    )
    parser.add_argument(
        "--status",
        type=address,
        metavar="HOST:PORT",
        help="with --follow: serve /healthz and /metrics there",
    )
    parser.add_argument(
        "--replay", action="store_true", help="load the journal's archive again; pull nothing"
    )
    parser.add_argument(
        "--progress",
        metavar="NAME",
        choices=["tqdm", "log", "enlighten", "alive_progress"],
        help="dlt's progress display: tqdm (on a terminal), log, enlighten or alive_progress",
    )


def run(args: argparse.Namespace, output: Output) -> None:
    """Do the job; raise what goes wrong."""
    load(args, output, resolve_options({}), args.pipeline or PIPELINE)


def load(args: argparse.Namespace, output: Output, options: SmsSourceConfiguration, name: str) -> None:
    """Do the job with options, and a name of its pipeline."""
    if args.log_format == "json" and args.progress:
        args.error("--progress is for a terminal, and --log-format json for a program")
    if args.follow is None and (args.receive or args.status):
        args.error("--receive and --status are for --follow SECONDS")
    if args.follow is not None and args.replay:
        args.error("--replay loads the archive once, and does not follow")
    progress: Any = args.progress
    if args.log_format == "text" and sys.stderr.isatty():
        progress = progress or "tqdm"
    with Loader(options, args.destination, args.dataset, name, progress=progress) as loader:
        if args.follow is None:
            _once(loader, output, replay=args.replay)
        else:
            follow(loader, args.follow, output, receive=args.receive, status=args.status)


def _once(loader: Loader, output: Output, *, replay: bool) -> None:
    with stop_on_signals(output.notice, lambda: loader.at_risk) as stop:
        summary = loader.round(replay=replay, stop=stop)
        if summary.has_records or not summary.failures:
            output.summary(summary)
        summary.raise_for_failure()
        if summary.has_records:
            output.where(summary, loader.options)
    if stop.is_set() and not (replay or summary.drained):
        raise InterruptedError("Stopped by a signal before the queues were empty. Run again for the rest.")
