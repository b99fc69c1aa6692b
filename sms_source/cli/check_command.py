"""`tencent-sms check`: proves that a run can work, and takes no record."""

import argparse
from contextlib import ExitStack

from sms_source.cli.arguments import add_places
from sms_source.cli.demo_command import demo_options
from sms_source.cli.output import Output
from sms_source.loading.checking import findings
from sms_source.loading.loader import PIPELINE, resolve_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the check to a parser."""
    add_places(parser)


def run(args: argparse.Namespace, output: Output) -> None:
    """Check; raise what a run would fail with."""
    is_demo = getattr(args, "demo", False)
    with ExitStack() as stack:
        given = stack.enter_context(demo_options()) if is_demo else {}
        options = resolve_options(given, check_configured=not is_demo)
        for finding in findings(options, args.destination, args.dataset, args.pipeline or PIPELINE):
            output.checked(finding.what, finding.detail)
    output.no_record_taken(is_asked=bool(options.pull_feeds))
