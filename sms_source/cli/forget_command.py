"""`tencent-sms forget`: erases people from the tables and the journal."""

import argparse
import json
from dataclasses import asdict

from sms_source.cli.arguments import add_places
from sms_source.cli.number_list import lines_of, numbers_in
from sms_source.cli.output import Output
from sms_source.loading.forgetting import forget
from sms_source.loading.loader import PIPELINE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add whom to forget, and where, to a parser."""
    parser.add_argument(
        "numbers",
        nargs="*",
        metavar="NUMBER",
        help="in international form, such as +8615291990000; others on this machine may see it here",
    )
    parser.add_argument(
        "--file",
        metavar="FILE",
        help="a number a line, or a CSV with a column phone_number; - is the standard input",
    )
    add_places(parser)


def run(args: argparse.Namespace, output: Output) -> None:  # noqa: ARG001 - it speaks for itself
    """Forget them, and say what was done and what can't be reached."""
    if not args.numbers and args.file is None:
        args.error("whom? Name numbers, or a --file of them (- is the standard input)")
    listed = numbers_in(lines_of(args.file)) if args.file is not None else ()
    numbers = [*args.numbers, *listed]
    done = forget(numbers, args.destination, args.dataset, args.pipeline or PIPELINE)
    if args.log_format == "json":
        print(json.dumps({"event": "forgotten", **asdict(done)}))
    else:
        print(*done.lines(), sep="\n")
