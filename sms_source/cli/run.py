"""Commands, run: the job once, the job again and again, the check."""

import argparse
import time
from contextlib import ExitStack
from typing import Any

from sms_source.cli import demo, recover_command
from sms_source.cli.output import Output
from sms_source.cli.signals import stop_on_signals
from sms_source.loading.checking import findings
from sms_source.loading.loader import Loader, resolve_options

LONGEST_ROUND = 60.0
"""Seconds for which a round of --follow goes on while the queues are never empty: so often it is told."""


def run(args: argparse.Namespace, output: Output) -> None:
    """Do what the arguments say; raise what goes wrong."""
    with ExitStack() as stack:
        given: dict[str, Any] = stack.enter_context(demo.demo_options()) if args.demo else {}
        name = demo.PIPELINE if args.demo and args.pipeline is None else args.pipeline or "sms_replies"
        options = resolve_options(given, check_configured=not args.demo)
        if args.check:
            for finding in findings(options, args.destination, args.dataset, name):
                output.checked(finding.what, finding.detail)
            output.no_record_taken()
            return
        if getattr(args, "command", None) == "recover":
            recover_command.run(args, output, options, name)
            return
        loader = stack.enter_context(
            Loader(options, args.destination, args.dataset, name, progress=args.progress)
        )
        if args.follow is None:
            _once(loader, args, output)
        else:
            _follow(loader, args.follow, output)


def _once(loader: Loader, args: argparse.Namespace, output: Output) -> None:
    with stop_on_signals(output.notice, lambda: loader.at_risk) as stop:
        summary = loader.round(replay=args.replay, stop=stop)
        output.summary(summary)
        summary.raise_for_failure()
        if summary.total("pulls"):
            output.where(summary)
    if stop.is_set():
        raise InterruptedError("Stopped by a signal before the queues were empty. Run again for the rest.")


def _follow(loader: Loader, interval: float, output: Output) -> None:
    """Drain again and again, from one beginning to the next at the interval, until it is to stop.

    A round that fails ends it, on purpose: whoever supervises the process starts a new one, and what a new
    process finds is the case that is proved.
    """
    with stop_on_signals(output.notice, lambda: loader.at_risk) as stop:
        while True:
            due = time.monotonic() + interval
            summary = loader.round(stop=stop, longest=LONGEST_ROUND)
            output.round(summary)
            summary.raise_for_failure()
            # Not stop.wait(): a signal's handler that sets an event just as it is waited for hangs.
            while not stop.is_set() and (pause := due - time.monotonic()) > 0:
                time.sleep(min(pause, 0.1))
            if stop.is_set():
                output.end()
                return
