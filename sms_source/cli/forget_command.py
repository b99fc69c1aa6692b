"""`tencent-sms forget`: erases people from the tables and the journal."""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict

from sms_source.cli.arguments import add_places
from sms_source.cli.number_list import numbers_in
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
    numbers = [*args.numbers, *_from_file(args.file)]
    done = forget(numbers, args.destination, args.dataset, args.pipeline or PIPELINE)
    if args.log_format == "json":
        print(json.dumps({"event": "forgotten", **asdict(done)}))
    else:
        print(*done.lines(), sep="\n")


def _from_file(name: str | None) -> Iterator[str]:
    if name == "-":
        yield from numbers_in(sys.stdin)
    elif name is not None:
        with open(name, encoding="utf-8-sig", newline="") as file:  # noqa: PTH123 - a name as it was typed
            yield from numbers_in(file)
